// The scales and minima of sub-blocks of a batch of groups, written or read: what differs between
// the two is inside `Streams` (delta/stream_set.h). docs/FORMAT-DELTA.md, "scale" and "min".
//
// With a base of the same type, all of a group are coded at once, in rows of sixteen, of which the
// last eight mean nothing where there are eight. Else one follows from the other. For one thread.
#pragma once

#include "delta/group_batch.h"
#include "delta/wide.h"

namespace gguf_shard {

template <typename Streams>
class SubCoder {
 public:
  SubCoder(const GroupShape& shape, Streams& streams)
      : shape_(shape),
        low_(shape.target.scale_is_signed ? -(1 << (shape.target.scale_bits - 1)) : 0),
        streams_(streams) {}

  // Of the sub-block `first`; of all of them where the types are equal.
  void Code(std::span<CodedGroup> groups, uint32_t first) {
    if (shape_.target.scale_bits == 0) return;
    return shape_.same_type ? CodeRows<kRowScales>(groups, first) : CodeRows<1>(groups, first);
  }

 private:
  // Where the base's scales fall between the steps of the target's, for each group; without such a
  // base, the scale before is the position.
  void PlaceScales(std::span<const CodedGroup> groups, uint32_t first, uint32_t count) {
    for (uint32_t g = 0; g < groups.size(); ++g) {
      const CodedGroup& group = groups[g];
      if (shape_.same_type) {
        FixedRatiosTo(group.view.slope, ScaleFromF16(group.target.d[0]), count, kMaxOffset,
                      positions_[g]);
      } else {
        positions_[g][0] = first == 0 ? 0 : group.target.scale[first - 1] * (1 << kFractionBits);
      }
    }
  }
  // The same for minima. What is subtracted is so on both sides: a ratio does not show it.
  void PlaceMins(std::span<const CodedGroup> groups, uint32_t first, uint32_t count) {
    for (uint32_t g = 0; g < groups.size(); ++g) {
      const CodedGroup& group = groups[g];
      if (shape_.same_type) {
        Scale m = ScaleFromF16(group.target.m[0]);
        if (shape_.target.m_is_subtracted) m.mantissa = -m.mantissa;
        FixedRatiosTo(group.view.offset, m, count, kMaxOffset, positions_[g]);
      } else {
        positions_[g][0] = first == 0 ? 0 : group.target.min[first - 1] * (1 << kFractionBits);
      }
    }
  }
  // The quarter of a position; of a scale before it is 0.
  template <uint32_t kLanes>
  GS_WIDE static StepPosition PositionOf(int32_t fixed) {
    return kLanes == 1 ? StepPosition{fixed >> kFractionBits, 0} : SplitPosition(fixed);
  }

  template <uint32_t kLanes>
  void CodeRows(std::span<CodedGroup> groups, uint32_t first) {
    const uint32_t count = kLanes == 1 ? 1 : kGroupWeights / shape_.target.sub_weights;
    CodeScales<kLanes>(groups, first, count);
    if (shape_.target.min_bits != 0) CodeMins<kLanes>(groups, first, count);
  }

  template <uint32_t kLanes>
  void CodeScales(std::span<CodedGroup> groups, uint32_t first, uint32_t count) {
    PlaceScales(groups, first, count);
    for (uint32_t g = 0; g < groups.size(); ++g) {
      const int32_t level = ScaleLevel(ScaleFromF16(groups[g].target.d[0]));
      level_contexts_[g] = 64 * (LevelClass(level, groups[g].noise, 12, 15) / 2);
    }
    RunWide([&]() GS_WIDE {
      for (uint32_t g = 0; g < groups.size(); ++g) {
        PutScaleContexts<kLanes>(positions_[g].data(), level_contexts_[g],
                                 predicted_.data() + g * count, contexts_.data() + g * count);
      }
    });
    const auto total = static_cast<uint32_t>(groups.size()) * count;
    if constexpr (!Streams::kReads) {
      for (uint32_t i = 0; i < total; ++i) {
        symbols_[i] = ScaleSymbol(predicted_[i], groups[i / count].target.scale[first + i % count]);
      }
    }
    streams_.CodeMany(kScale, contexts_.data(), total, symbols_.data());
    RunWide([&]() GS_WIDE {
      for (uint32_t g = 0; g < groups.size(); ++g) {
        TakeScales<kLanes>(predicted_.data() + g * count, symbols_.data() + g * count,
                           groups[g].target.scale.data() + first, residuals_[g].data());
      }
    });
  }

  template <uint32_t kLanes>
  GS_WIDE void PutScaleContexts(const int32_t* __restrict positions, int32_t level,
                                int32_t* __restrict predicted,
                                uint16_t* __restrict contexts) const {
    const int32_t low = low_;
    const int32_t high = low + (1 << shape_.target.scale_bits) - 1;
    const uint32_t shift = shape_.target.scale_bits - 4 - (shape_.target.scale_is_signed ? 1 : 0);
    for (uint32_t i = 0; i < kLanes; ++i) {
      const StepPosition position = PositionOf<kLanes>(positions[i]);
      const int32_t step = std::clamp(position.step, low, high);
      const int32_t magnitude = std::min((step < 0 ? -step : step) >> shift, 15);
      predicted[i] = step;
      contexts[i] = static_cast<uint16_t>(position.quarter + 4 * magnitude + level);
    }
  }

  // A signed scale often changes its sign and keeps its magnitude: the symbol is the folded change
  // of the magnitude, and in its lowest bit whether the sign differs from the predicted one. A
  // negative number's magnitude is that of its complement, so that both signs have 2^(bits-1).
  uint8_t ScaleSymbol(int32_t predicted, int32_t scale) const {
    const uint32_t bits = shape_.target.scale_bits;
    if (!shape_.target.scale_is_signed) return FoldResidual(scale - predicted, bits);
    const int32_t change = (scale < 0 ? ~scale : scale) - (predicted < 0 ? ~predicted : predicted);
    const int32_t flip = (scale < 0) != (predicted < 0) ? 1 : 0;
    return static_cast<uint8_t>(2 * FoldResidual(change, bits - 1) + flip);
  }
  template <uint32_t kLanes>
  GS_WIDE void TakeScales(const int32_t* __restrict predicted, const uint8_t* __restrict symbols,
                          int16_t* __restrict scales, int32_t* __restrict residuals) const {
    const uint32_t bits = shape_.target.scale_bits;
    if (!shape_.target.scale_is_signed) {
      for (uint32_t i = 0; i < kLanes; ++i) {
        const int32_t scale = ApplyResidual(predicted[i], symbols[i], 0, bits);
        scales[i] = static_cast<int16_t>(scale);
        residuals[i] = scale - predicted[i];
      }
      return;
    }
    // Formats with signed scales have no minima: nobody asks for the residuals.
    for (uint32_t i = 0; i < kLanes; ++i) {
      const int32_t sign = predicted[i] >> 31;
      const int32_t magnitude =
          ApplyResidual(predicted[i] ^ sign, static_cast<uint8_t>(symbols[i] >> 1), 0, bits - 1);
      scales[i] = static_cast<int16_t>(magnitude ^ sign ^ -static_cast<int32_t>(symbols[i] & 1));
    }
  }

  template <uint32_t kLanes>
  void CodeMins(std::span<CodedGroup> groups, uint32_t first, uint32_t count) {
    PlaceMins(groups, first, count);
    RunWide([&]() GS_WIDE {
      for (uint32_t g = 0; g < groups.size(); ++g) {
        PutMinContexts<kLanes>(positions_[g].data(), residuals_[g].data(),
                               predicted_.data() + g * count, contexts_.data() + g * count);
      }
    });
    const auto total = static_cast<uint32_t>(groups.size()) * count;
    const uint32_t bits = shape_.target.min_bits;
    if constexpr (!Streams::kReads) {
      for (uint32_t i = 0; i < total; ++i) {
        symbols_[i] =
            FoldResidual(groups[i / count].target.min[first + i % count] - predicted_[i], bits);
      }
    }
    streams_.CodeMany(kMin, contexts_.data(), total, symbols_.data());
    RunWide([&]() GS_WIDE {
      for (uint32_t g = 0; g < groups.size(); ++g) {
        TakeMins<kLanes>(predicted_.data() + g * count, symbols_.data() + g * count,
                         groups[g].target.min.data() + first);
      }
    });
  }

  template <uint32_t kLanes>
  GS_WIDE void PutMinContexts(const int32_t* __restrict positions,
                              const int32_t* __restrict residuals, int32_t* __restrict predicted,
                              uint16_t* __restrict contexts) const {
    const uint32_t shift = shape_.target.min_bits - 3;
    const int32_t high = (1 << shape_.target.min_bits) - 1;
    for (uint32_t i = 0; i < kLanes; ++i) {
      const StepPosition position = PositionOf<kLanes>(positions[i]);
      const int32_t step = std::clamp(position.step, 0, high);
      const int32_t residual = std::clamp(residuals[i], -3, 3) + 3;
      predicted[i] = step;
      contexts[i] = static_cast<uint16_t>(position.quarter + 4 * residual + 28 * (step >> shift));
    }
  }

  template <uint32_t kLanes>
  GS_WIDE void TakeMins(const int32_t* __restrict predicted, const uint8_t* __restrict symbols,
                        int16_t* __restrict mins) const {
    const uint32_t bits = shape_.target.min_bits;
    for (uint32_t i = 0; i < kLanes; ++i) {
      mins[i] = static_cast<int16_t>(ApplyResidual(predicted[i], symbols[i], 0, bits));
    }
  }

  const GroupShape& shape_;
  int32_t low_;
  Streams& streams_;
  // Of a batch, group by group.
  std::array<Row<int32_t>, kBatchGroups> positions_{};
  std::array<Row<int32_t>, kBatchGroups> residuals_{};  // of scales: contexts of minima
  std::array<int32_t, kBatchGroups> level_contexts_{};
  Fields<int32_t, kRowScales> predicted_{};
  Fields<uint16_t, kRowScales> contexts_{};
  Fields<uint8_t, kRowScales> symbols_{};
};

}  // namespace gguf_shard
