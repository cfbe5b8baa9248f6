#include "delta/quant_codec.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/check.h"
#include "delta/base_view.h"
#include "delta/prediction.h"
#include "delta/quant_group.h"
#include "delta/quant_predict.h"
#include "delta/stream_set.h"
#include "delta/wide.h"

namespace gguf_shard {
namespace {

enum Stream : uint32_t { kNoise, kD, kM, kScale, kMin, kQuant, kStreamCount };

constexpr uint32_t kNoiseContexts = 64;   // noise symbol of the group before / 4
constexpr uint32_t kHalfContexts = 32;    // level of the predicted f16 against the noise
constexpr uint32_t kScaleContexts = 512;  // quarter 4, magnitude 16, level 8
constexpr uint32_t kMinContexts = 224;    // quarter 4, scale's residual 7, magnitude 8
constexpr std::array<uint32_t, kStreamCount> kContextCounts = {
    kNoiseContexts, kHalfContexts, kHalfContexts, kScaleContexts, kMinContexts, kQuantContexts};

// One group, coded or decoded: what differs between the two is inside `Streams`. Fields that do not
// depend on each other are coded together: all of a group where the base has the same type, else
// one by one.
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
    const uint32_t blocks_together = same_type_ ? block_count : 1;
    for (uint32_t i = 0; i < block_count; i += blocks_together) {
      CodeHalves(base, i, blocks_together, target);
    }
    const uint32_t sub_count = weight_count / format_.sub_weights;
    const uint32_t subs_together = same_type_ ? sub_count : 1;
    for (uint32_t sub = 0; sub < sub_count; sub += subs_together) {
      if (format_.scale_bits != 0) CodeScales(base, sub, subs_together, target);
      if (format_.min_bits != 0) CodeMins(base, sub, subs_together, target);
    }
    PlaceUnits(format_, view, target, last_noise_, weight_count, places_);
    PredictQuants(format_, view, places_, weight_count, prediction_);
    CodeQuants(weight_count, target);
  }

 private:
  template <typename Value>
  using Fields = std::array<Value, 16>;

  // One of the two f16 fields of several blocks: the symbols; the raw bits come later.
  struct Halves {
    Stream stream;
    Fields<uint16_t> predicted{};
    Fields<uint8_t> symbols{};
  };

  void CodeHalves(const QuantGroup& base, uint32_t first, uint32_t count, QuantGroup& target) {
    Halves d{kD};
    Halves m{kM};
    CodeHalfSymbols(d, base.d, last_d_, first, count, target.d);
    if (format_.has_m) CodeHalfSymbols(m, base.m, last_m_, first, count, target.m);
    for (uint32_t i = 0; i < count; ++i) {
      CodeHalfBits(d.predicted[i], d.symbols[i], target.d[first + i]);
      if (format_.has_m) CodeHalfBits(m.predicted[i], m.symbols[i], target.m[first + i]);
    }
    last_d_ = target.d[first + count - 1];
    last_m_ = target.m[first + count - 1];
  }

  void CodeHalfSymbols(Halves& halves, const std::array<uint16_t, 8>& base, uint16_t last,
                       uint32_t first, uint32_t count, const std::array<uint16_t, 8>& target) {
    Fields<uint16_t> contexts;
    for (uint32_t i = 0; i < count; ++i) {
      const uint16_t predicted = same_type_ ? base[first + i] : last;
      halves.predicted[i] = predicted;
      contexts[i] = static_cast<uint16_t>(
          LevelClass(ScaleLevel(ScaleFromF16(predicted)), last_noise_, 20, kHalfContexts - 1));
      if constexpr (!Streams::kReads) {
        const int32_t difference = (target[first + i] & 0x7fff) - (predicted & 0x7fff);
        const uint32_t flip = (target[first + i] ^ predicted) >> 15;
        halves.symbols[i] = static_cast<uint8_t>(2 * SignedSymbol(difference) + flip);
      }
    }
    streams_.CodeMany(halves.stream, contexts.data(), count, halves.symbols.data());
  }

  void CodeHalfBits(uint16_t predicted, uint8_t symbol, uint16_t& value) {
    const int32_t difference = (value & 0x7fff) - (predicted & 0x7fff);
    const auto signed_symbol = static_cast<uint8_t>(symbol / 2);
    const auto magnitude = static_cast<int32_t>(streams_.CodeMagnitude(
        SymbolToken(signed_symbol), static_cast<uint32_t>(std::abs(difference))));
    const int32_t sum = (predicted & 0x7fff) + ((signed_symbol & 1) != 0 ? magnitude : -magnitude);
    value = static_cast<uint16_t>((sum & 0x7fff) |
                                  (((predicted >> 15) ^ static_cast<uint32_t>(symbol & 1)) << 15));
  }

  void CodeScales(const QuantGroup& base, uint32_t first, uint32_t count, QuantGroup& target) {
    const Scale d = ScaleFromF16(target.d[0]);
    const Scale base_d = ScaleFromF16(base.d[0]);
    const int32_t low = format_.scale_is_signed ? -(1 << (format_.scale_bits - 1)) : 0;
    const int32_t high = low + (1 << format_.scale_bits) - 1;
    const uint32_t shift = format_.scale_bits - 4 - (format_.scale_is_signed ? 1 : 0);
    const int32_t level_context = 64 * (LevelClass(ScaleLevel(d), last_noise_, 12, 15) / 2);
    Fields<uint16_t> contexts;
    Fields<int32_t> predicted;
    Fields<uint8_t> symbols{};
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t sub = first + i;
      StepPosition position{sub == 0 ? 0 : target.scale[sub - 1], 0};
      if (same_type_) {
        position = SplitPosition(FixedRatio(Multiply(base_d, base.scale[sub]), d, kMaxOffset));
      }
      predicted[i] = std::clamp(position.step, low, high);
      const int32_t magnitude = std::min(std::abs(predicted[i]) >> shift, 15);
      contexts[i] = static_cast<uint16_t>(position.quarter + 4 * magnitude + level_context);
      if constexpr (!Streams::kReads) symbols[i] = ScaleSymbol(predicted[i], target.scale[sub]);
    }
    streams_.CodeMany(kScale, contexts.data(), count, symbols.data());
    for (uint32_t i = 0; i < count; ++i) {
      const int32_t scale = ScaleFrom(predicted[i], symbols[i]);
      target.scale[first + i] = static_cast<int16_t>(scale);
      scale_residual_[first + i] = scale - predicted[i];
    }
  }

  // A signed scale often changes its sign and keeps its magnitude: the symbol is the folded change
  // of the magnitude, and in its lowest bit whether the sign differs from the predicted one. A
  // negative number's magnitude is that of its complement, so that both signs have 2^(bits-1).
  uint8_t ScaleSymbol(int32_t predicted, int32_t scale) const {
    if (!format_.scale_is_signed) return FoldResidual(scale - predicted, format_.scale_bits);
    const int32_t change = (scale < 0 ? ~scale : scale) - (predicted < 0 ? ~predicted : predicted);
    const int32_t flip = (scale < 0) != (predicted < 0) ? 1 : 0;
    return static_cast<uint8_t>(2 * FoldResidual(change, format_.scale_bits - 1) + flip);
  }
  int32_t ScaleFrom(int32_t predicted, uint8_t symbol) const {
    if (!format_.scale_is_signed) return ApplyResidual(predicted, symbol, 0, format_.scale_bits);
    const int32_t magnitude = ApplyResidual(predicted < 0 ? ~predicted : predicted, symbol / 2, 0,
                                            format_.scale_bits - 1);
    const bool negative = (predicted < 0) != ((symbol & 1) != 0);
    return negative ? ~magnitude : magnitude;
  }

  void CodeMins(const QuantGroup& base, uint32_t first, uint32_t count, QuantGroup& target) {
    const Scale m = ScaleFromF16(target.m[0]);
    const Scale base_m = ScaleFromF16(base.m[0]);
    Fields<uint16_t> contexts;
    Fields<int32_t> predicted;
    Fields<uint8_t> symbols{};
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t sub = first + i;
      StepPosition position{sub == 0 ? 0 : target.min[sub - 1], 0};
      if (same_type_) {
        position = SplitPosition(FixedRatio(Multiply(base_m, base.min[sub]), m, kMaxOffset));
      }
      predicted[i] = std::clamp(position.step, 0, (1 << format_.min_bits) - 1);
      const int32_t magnitude = predicted[i] >> (format_.min_bits - 3);
      const int32_t residual = std::clamp(scale_residual_[sub], -3, 3) + 3;
      contexts[i] = static_cast<uint16_t>(position.quarter + 4 * residual + 28 * magnitude);
      if constexpr (!Streams::kReads) {
        symbols[i] = FoldResidual(target.min[sub] - predicted[i], format_.min_bits);
      }
    }
    streams_.CodeMany(kMin, contexts.data(), count, symbols.data());
    for (uint32_t i = 0; i < count; ++i) {
      target.min[first + i] =
          static_cast<int16_t>(ApplyResidual(predicted[i], symbols[i], 0, format_.min_bits));
    }
  }

  void CodeQuants(uint32_t weight_count, QuantGroup& target) {
    std::array<uint8_t, kGroupWeights> symbols;
    if constexpr (!Streams::kReads) {
      FoldQuants(format_, prediction_, weight_count, target.quant.data(), symbols.data());
    }
    streams_.CodeMany(kQuant, prediction_.context.data(), weight_count, symbols.data());
    if constexpr (Streams::kReads) {
      UnfoldQuants(format_, prediction_, weight_count, symbols.data(), target.quant.data());
    }
  }

  const QuantFormat& format_;
  bool same_type_;
  Streams& streams_;
  uint8_t last_noise_ = 0;
  uint16_t last_d_ = 0;
  uint16_t last_m_ = 0;
  Fields<int32_t> scale_residual_{};
  UnitPlaces places_{};
  QuantPrediction prediction_{};
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

double ToDouble(Scale scale) {
  const auto exponent = static_cast<uint64_t>(std::clamp(scale.exponent, -1000, 1000) + 1023);
  return static_cast<double>(scale.mantissa) * std::bit_cast<double>(exponent << 52);
}

// The level of the mean absolute difference, 1..255. What is found here is written to the frame, so
// floating point does no harm; sums have one order, so that every machine makes the same patch.
uint8_t MeasureNoise(const BaseView& base, const BaseView& target, uint32_t weight_count) {
  std::array<float, kViewUnit> sums{};
  RunWide([&]() GS_WIDE {
    for (uint32_t unit = 0; unit < weight_count / kViewUnit; ++unit) {
      const auto base_slope = static_cast<float>(ToDouble(base.slope[unit]));
      const auto target_slope = static_cast<float>(ToDouble(target.slope[unit]));
      const auto offset =
          static_cast<float>(ToDouble(target.offset[unit]) - ToDouble(base.offset[unit]));
      for (uint32_t i = 0; i < kViewUnit; ++i) {
        const uint32_t weight = unit * kViewUnit + i;
        sums[i] += std::abs(target_slope * static_cast<float>(target.level[weight]) -
                            base_slope * static_cast<float>(base.level[weight]) + offset);
      }
    }
  });
  double sum = 0;
  for (const float part : sums) sum += static_cast<double>(part);
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
  streams.Reserve(kQuant, weights.weight_count);
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
    ViewBlocks(weights.base_type, base_bytes.data(), group.weight_count, base_group, base_view);
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
    ViewBlocks(weights.base_type, base_bytes.data(), group.weight_count, base_group, base_view);
    coder.CodeFields(base_view, base_group, group.weight_count, target_group);
    PackGroup(weights.target_type, target_group, group.weight_count / block_weights,
              target_bytes.data());
  }
  return streams.Finish();
}

}  // namespace gguf_shard
