#include "delta/quant_codec.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/check.h"
#include "delta/base_view.h"
#include "delta/prediction.h"
#include "delta/quant_group.h"
#include "delta/stream_set.h"

namespace gguf_shard {
namespace {

enum Stream : uint32_t { kNoise, kD, kM, kScale, kMin, kQuant, kStreamCount };

constexpr uint32_t kNoiseContexts = 64;   // noise symbol of the group before / 4
constexpr uint32_t kHalfContexts = 32;    // level of the predicted f16 against the noise
constexpr uint32_t kScaleContexts = 512;  // quarter 4, magnitude 16, level 8
constexpr uint32_t kMinContexts = 224;    // quarter 4, scale's residual 7, magnitude 8
constexpr uint32_t kEdges = 5;
constexpr uint32_t kLevels = 17;
constexpr uint32_t kQuantContexts = 4 * kEdges * kLevels;
constexpr std::array<uint32_t, kStreamCount> kContextCounts = {
    kNoiseContexts, kHalfContexts, kHalfContexts, kScaleContexts, kMinContexts, kQuantContexts};

constexpr int32_t kCodebookLow = -140;  // positions outside are as good as these
constexpr int32_t kCodebookHigh = 130;

// Where a position between the levels of the IQ4 codebook falls.
struct CodebookPlace {
  uint8_t index;
  uint8_t quarter;
  uint8_t edge;
};

using CodebookPlaces = std::array<CodebookPlace, kCodebookHigh - kCodebookLow + 1>;

// The nearest level (the lower on a tie), and in which quarter of its range the position lies; the
// outermost ranges are as wide outward as inward.
constexpr CodebookPlace PlaceInCodebook(int32_t position) {
  int32_t index = 0;
  while (index < 15 && 2 * position > kIq4Codebook[index] + kIq4Codebook[index + 1]) ++index;
  const int32_t level = kIq4Codebook[index];
  const int32_t below = index > 0 ? level - kIq4Codebook[index - 1] : kIq4Codebook[1] - level;
  const int32_t above = index < 15 ? kIq4Codebook[index + 1] - level : level - kIq4Codebook[14];
  const int32_t offset = 2 * (position - level) + below;
  const uint8_t edge = offset < 0               ? 3
                       : offset > below + above ? 4
                       : index == 0             ? 1
                       : index == 15            ? 2
                                                : 0;
  return {static_cast<uint8_t>(index),
          static_cast<uint8_t>(std::clamp(4 * offset / (below + above), 0, 3)), edge};
}

constexpr CodebookPlaces MakeCodebookPlaces() {
  CodebookPlaces places{};
  for (int32_t p = kCodebookLow; p <= kCodebookHigh; ++p) {
    places[static_cast<size_t>(p - kCodebookLow)] = PlaceInCodebook(p);
  }
  return places;
}
constexpr CodebookPlaces kCodebookPlaces = MakeCodebookPlaces();

int32_t LevelClass(int32_t level, int32_t noise, int32_t shift, int32_t last) {
  return std::clamp(level - noise + shift, 0, last);
}

// One group, coded or decoded: what differs between the two is inside `Streams`.
template <typename Streams>
class GroupCoder {
 public:
  GroupCoder(TensorType target_type, TensorType base_type, Streams& streams)
      : format_(*FindQuantFormat(target_type)),
        same_type_(target_type == base_type),
        streams_(streams) {}

  // The noise symbol of a group; `noise` is ignored when reading.
  uint8_t CodeNoise(uint8_t noise) {
    const auto context = static_cast<uint16_t>(last_noise_ / 4);
    last_noise_ = streams_.Code(kNoise, context, noise);
    return last_noise_;
  }

  // All fields of `target`; `base` matters only when the types are equal.
  void CodeFields(const BaseView& view, const QuantGroup& base, uint32_t weight_count,
                  QuantGroup& target) {
    const uint32_t block_count = format_.scale_bits == 0 ? weight_count / 32 : 1;
    for (uint32_t i = 0; i < block_count; ++i) {
      CodeHalf(kD, same_type_ ? base.d[i] : last_d_, target.d[i]);
      last_d_ = target.d[i];
      if (!format_.has_m) continue;
      CodeHalf(kM, same_type_ ? base.m[i] : last_m_, target.m[i]);
      last_m_ = target.m[i];
    }
    const uint32_t sub_count = weight_count / format_.sub_weights;
    for (uint32_t sub = 0; sub < sub_count; ++sub) CodeSub(view, base, sub, target);
  }

 private:
  void CodeHalf(Stream stream, uint16_t predicted, uint16_t& value) {
    const int32_t level = LevelClass(ScaleLevel(ScaleFromF16(predicted)), last_noise_, 20,
                                     static_cast<int32_t>(kHalfContexts) - 1);
    const int32_t difference = (value & 0x7fff) - (predicted & 0x7fff);
    const uint32_t flip = (value ^ predicted) >> 15;
    auto symbol = static_cast<uint8_t>(2 * SignedSymbol(difference) + flip);
    symbol = streams_.Code(stream, static_cast<uint16_t>(level), symbol);
    const auto signed_symbol = static_cast<uint8_t>(symbol / 2);
    const auto magnitude = static_cast<int32_t>(streams_.CodeMagnitude(
        SymbolToken(signed_symbol), static_cast<uint32_t>(std::abs(difference))));
    const int32_t sum = (predicted & 0x7fff) + ((signed_symbol & 1) != 0 ? magnitude : -magnitude);
    value = static_cast<uint16_t>((sum & 0x7fff) |
                                  (((predicted >> 15) ^ static_cast<uint32_t>(symbol & 1)) << 15));
  }

  void CodeSub(const BaseView& view, const QuantGroup& base, uint32_t sub, QuantGroup& target) {
    const int32_t scale_residual = format_.scale_bits == 0 ? 0 : CodeScale(base, sub, target);
    if (format_.min_bits != 0) CodeMin(base, sub, scale_residual, target);
    const Scale slope = SubSlope(format_, target, sub);
    const Scale offset = SubOffset(format_, target, sub);
    const int32_t level = LevelClass(ScaleLevel(slope), last_noise_, 4, kLevels - 1);
    const uint32_t step = std::min(view.unit_weights, format_.sub_weights);
    const uint32_t first = sub * format_.sub_weights;
    for (uint32_t i = first; i < first + format_.sub_weights; i += step) {
      PredictQuants(view, slope, offset, level, i, step);
    }
    CodeQuants(first, target);
  }

  // Returns the residual, for the minimum's context.
  int32_t CodeScale(const QuantGroup& base, uint32_t sub, QuantGroup& target) {
    const Scale d = ScaleFromF16(target.d[0]);
    StepPosition position{sub == 0 ? 0 : target.scale[sub - 1], 0};
    if (same_type_) {
      const Scale scale = Multiply(ScaleFromF16(base.d[0]), base.scale[sub]);
      position = SplitPosition(FixedRatio(scale, d, kMaxOffset));
    }
    const int32_t low = format_.scale_is_signed ? -(1 << (format_.scale_bits - 1)) : 0;
    const int32_t predicted = std::clamp(position.step, low, low + (1 << format_.scale_bits) - 1);
    const int32_t magnitude =
        std::abs(predicted) >> (format_.scale_bits - 4 - (format_.scale_is_signed ? 1 : 0));
    const int32_t level = LevelClass(ScaleLevel(d), last_noise_, 12, 15) / 2;
    const auto context =
        static_cast<uint16_t>(position.quarter + 4 * std::min(magnitude, 15) + 64 * level);
    if (format_.scale_is_signed) {
      target.scale[sub] = CodeSignedScale(context, predicted, target.scale[sub]);
    } else {
      const uint8_t symbol = streams_.Code(
          kScale, context, FoldResidual(target.scale[sub] - predicted, format_.scale_bits));
      target.scale[sub] =
          static_cast<int16_t>(ApplyResidual(predicted, symbol, 0, format_.scale_bits));
    }
    return target.scale[sub] - predicted;
  }

  // A signed scale often changes its sign and keeps its magnitude: the symbol is the folded change
  // of the magnitude, and in its lowest bit whether the sign differs from the predicted one. A
  // negative number's magnitude is that of its complement, so that both signs have 2^(bits-1).
  int16_t CodeSignedScale(uint16_t context, int32_t predicted, int32_t scale) {
    const uint32_t bits = format_.scale_bits - 1;
    const int32_t predicted_magnitude = predicted < 0 ? ~predicted : predicted;
    const int32_t magnitude = scale < 0 ? ~scale : scale;
    const int32_t flip = (scale < 0) != (predicted < 0) ? 1 : 0;
    auto symbol =
        static_cast<uint8_t>(2 * FoldResidual(magnitude - predicted_magnitude, bits) + flip);
    symbol = streams_.Code(kScale, context, symbol);
    const int32_t decoded = ApplyResidual(predicted_magnitude, symbol / 2, 0, bits);
    const bool negative = (predicted < 0) != ((symbol & 1) != 0);
    return static_cast<int16_t>(negative ? ~decoded : decoded);
  }

  void CodeMin(const QuantGroup& base, uint32_t sub, int32_t scale_residual, QuantGroup& target) {
    StepPosition position{sub == 0 ? 0 : target.min[sub - 1], 0};
    if (same_type_) {
      const Scale min = Multiply(ScaleFromF16(base.m[0]), base.min[sub]);
      position = SplitPosition(FixedRatio(min, ScaleFromF16(target.m[0]), kMaxOffset));
    }
    const int32_t predicted = std::clamp(position.step, 0, (1 << format_.min_bits) - 1);
    const int32_t magnitude = predicted >> (format_.min_bits - 3);
    const auto context = static_cast<uint16_t>(
        position.quarter + 4 * (std::clamp(scale_residual, -3, 3) + 3) + 28 * magnitude);
    const uint8_t symbol =
        streams_.Code(kMin, context, FoldResidual(target.min[sub] - predicted, format_.min_bits));
    target.min[sub] = static_cast<int16_t>(ApplyResidual(predicted, symbol, 0, format_.min_bits));
  }

  // Contexts and predictions of `count` weights from `first` on, all under one slope and offset of
  // the base and of the target.
  void PredictQuants(const BaseView& view, Scale slope, Scale offset, int32_t level, uint32_t first,
                     uint32_t count) {
    const uint32_t unit = first / kViewUnit;
    const int32_t ratio = FixedRatio(view.slope[unit], slope, kMaxRatio);
    const int64_t shift = int64_t{FixedRatio(view.offset[unit], slope, kMaxOffset)} -
                          FixedRatio(offset, slope, kMaxOffset);
    const auto start = static_cast<int32_t>(std::clamp(shift, -kMaxOffset, kMaxOffset));
    const int32_t low = format_.quant_low;
    const int32_t high = low + (1 << format_.quant_bits) - 1;
    const auto level_context = static_cast<int32_t>(4 * kEdges) * level;
    if (format_.has_codebook) {
      for (uint32_t i = first; i < first + count; ++i) {
        const int32_t position =
            (ratio * view.level[i] + start + (1 << (kFractionBits - 1))) >> kFractionBits;
        const CodebookPlace place = kCodebookPlaces[static_cast<size_t>(
            std::clamp(position, kCodebookLow, kCodebookHigh) - kCodebookLow)];
        predicted_[i] = static_cast<int8_t>(place.index);
        contexts_[i] = static_cast<uint16_t>(level_context + place.quarter + 4 * place.edge);
      }
      return;
    }
    for (uint32_t i = first; i < first + count; ++i) {
      const StepPosition position = SplitPosition(ratio * view.level[i] + start);
      const int32_t inside = std::min(std::max(position.step, low), high);
      // 0 inside; at the edges 1 and 2, beyond them 3 and 4.
      const int32_t edge = (position.step == low ? 1 : 0) + (position.step == high ? 2 : 0) +
                           (position.step < low ? 3 : 0) + (position.step > high ? 4 : 0);
      predicted_[i] = static_cast<int8_t>(inside);
      contexts_[i] = static_cast<uint16_t>(level_context + position.quarter + 4 * edge);
    }
  }

  void CodeQuants(uint32_t first, QuantGroup& target) {
    const uint32_t count = format_.sub_weights;
    const uint32_t bits = format_.quant_bits;
    std::array<uint8_t, 32> symbols{};
    if constexpr (!Streams::kReads) {
      for (uint32_t i = 0; i < count; ++i) {
        symbols[i] = FoldResidual(target.quant[first + i] - predicted_[first + i], bits);
      }
    }
    streams_.CodeMany(kQuant, contexts_.data() + first, count, symbols.data());
    if constexpr (Streams::kReads) {
      for (uint32_t i = 0; i < count; ++i) {
        target.quant[first + i] = static_cast<int8_t>(
            ApplyResidual(predicted_[first + i], symbols[i], format_.quant_low, bits));
      }
    }
  }

  const QuantFormat& format_;
  bool same_type_;
  Streams& streams_;
  uint8_t last_noise_ = 0;
  uint16_t last_d_ = 0;
  uint16_t last_m_ = 0;
  std::array<uint16_t, kGroupWeights> contexts_{};
  std::array<int8_t, kGroupWeights> predicted_{};
};

// The bytes of each group of both sides.
struct GroupBytes {
  uint32_t weight_count;
  size_t target_offset;
  size_t target_bytes;
  size_t base_offset;
  size_t base_bytes;
};

GroupBytes GroupAt(const WeightSpan& weights, uint64_t first_weight) {
  const TensorTypeInfo& target = GetTensorType(weights.target_type);
  const TensorTypeInfo& base = GetTensorType(weights.base_type);
  const uint64_t count = std::min<uint64_t>(kGroupWeights, weights.weight_count - first_weight);
  const auto Bytes = [](const TensorTypeInfo& type, uint64_t n) {
    return n / type.block_weights * type.block_bytes;
  };
  return {static_cast<uint32_t>(count), Bytes(target, first_weight), Bytes(target, count),
          Bytes(base, first_weight), Bytes(base, count)};
}

void ViewBase(const WeightSpan& weights, std::span<const std::byte> bytes, uint32_t weight_count,
              QuantGroup& group, BaseView& view) {
  const QuantFormat* format = FindQuantFormat(weights.base_type);
  if (format == nullptr) return ViewFloats(weights.base_type, bytes.data(), weight_count, view);
  const uint32_t block_weights = GetTensorType(weights.base_type).block_weights;
  UnpackGroup(weights.base_type, bytes.data(), weight_count / block_weights, group);
  ViewQuantGroup(*format, group, weight_count, view);
}

double ToDouble(Scale scale) {
  return std::ldexp(static_cast<double>(scale.mantissa), scale.exponent);
}

// The level of the mean absolute difference, 1..255. What is found here is written to the frame, so
// floating point does no harm.
uint8_t MeasureNoise(const BaseView& base, const BaseView& target, uint32_t weight_count) {
  double sum = 0;
  for (uint32_t unit = 0; unit < weight_count / kViewUnit; ++unit) {
    const auto base_slope = static_cast<float>(ToDouble(base.slope[unit]));
    const auto target_slope = static_cast<float>(ToDouble(target.slope[unit]));
    const auto offset =
        static_cast<float>(ToDouble(target.offset[unit]) - ToDouble(base.offset[unit]));
    float unit_sum = 0;
    for (uint32_t i = unit * kViewUnit; i < (unit + 1) * kViewUnit; ++i) {
      unit_sum += std::abs(target_slope * static_cast<float>(target.level[i]) -
                           base_slope * static_cast<float>(base.level[i]) + offset);
    }
    sum += static_cast<double>(unit_sum);
  }
  if (!(sum > 0)) return 1;
  return static_cast<uint8_t>(
      std::clamp(std::floor(2 * std::log2(sum / weight_count) + 0.5) + 128, 1.0, 255.0));
}

}  // namespace

bool CanQuantCode(TensorType target_type, TensorType base_type) {
  return FindQuantFormat(target_type) != nullptr && CanView(base_type);
}

std::vector<std::byte> QuantEncode(const WeightSpan& weights, std::span<const std::byte> target,
                                   std::span<const std::byte> base, uint32_t max_tables) {
  StreamWriter streams(kContextCounts);
  GroupCoder coder(weights.target_type, weights.base_type, streams);
  const QuantFormat& format = *FindQuantFormat(weights.target_type);
  const uint32_t block_weights = GetTensorType(weights.target_type).block_weights;
  QuantGroup target_group{};
  QuantGroup base_group{};
  BaseView target_view;
  BaseView base_view;
  for (uint64_t first = 0; first < weights.weight_count; first += kGroupWeights) {
    const GroupBytes group = GroupAt(weights, first);
    const auto target_bytes = target.subspan(group.target_offset, group.target_bytes);
    const auto base_bytes = base.subspan(group.base_offset, group.base_bytes);
    if (weights.target_type == weights.base_type &&
        std::memcmp(target_bytes.data(), base_bytes.data(), target_bytes.size()) == 0) {
      coder.CodeNoise(0);
      continue;
    }
    ViewBase(weights, base_bytes, group.weight_count, base_group, base_view);
    UnpackGroup(weights.target_type, target_bytes.data(), group.weight_count / block_weights,
                target_group);
    ViewQuantGroup(format, target_group, group.weight_count, target_view);
    coder.CodeNoise(MeasureNoise(base_view, target_view, group.weight_count));
    coder.CodeFields(base_view, base_group, group.weight_count, target_group);
  }
  return streams.Finish(max_tables);
}

Result<void> QuantDecode(const WeightSpan& weights, std::span<const std::byte> payload,
                         std::span<const std::byte> base, std::span<std::byte> target) {
  GS_ASSIGN(StreamReader streams, StreamReader::Create(kContextCounts, payload));
  GroupCoder coder(weights.target_type, weights.base_type, streams);
  const uint32_t block_weights = GetTensorType(weights.target_type).block_weights;
  QuantGroup target_group{};
  QuantGroup base_group{};
  BaseView base_view;
  for (uint64_t first = 0; first < weights.weight_count; first += kGroupWeights) {
    const GroupBytes group = GroupAt(weights, first);
    const auto target_bytes = target.subspan(group.target_offset, group.target_bytes);
    const auto base_bytes = base.subspan(group.base_offset, group.base_bytes);
    if (coder.CodeNoise(0) == 0) {
      if (weights.target_type != weights.base_type) {
        return Fail(ErrorCode::kMalformed, "a frame keeps weights of another type");
      }
      std::memcpy(target_bytes.data(), base_bytes.data(), target_bytes.size());
      continue;
    }
    ViewBase(weights, base_bytes, group.weight_count, base_group, base_view);
    coder.CodeFields(base_view, base_group, group.weight_count, target_group);
    PackGroup(weights.target_type, target_group, group.weight_count / block_weights,
              target_bytes.data());
  }
  return streams.Finish();
}

}  // namespace gguf_shard
