#include "delta/quant_codec.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

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

// Groups that are coded together, whose fields wait neither for each other nor for another stream.
constexpr uint32_t kBatchGroups = 8;

struct CodedGroup {
  uint32_t weight_count;
  uint8_t noise;
  size_t target_offset;  // of the group's bytes in the frame
  BaseView view;
  QuantGroup base;  // matters only when the types are equal
  QuantGroup target;
};

// What many groups have of one field, one after the other.
template <typename Value, uint32_t kOfGroup>
using Fields = std::array<Value, kBatchGroups * kOfGroup>;

// Groups, coded or decoded: what differs between the two is inside `Streams`. Fields that do not
// depend on each other are coded together: those of a batch where the base has the same type, else
// one by one.
template <typename Streams>
class GroupCoder {
 public:
  GroupCoder(TensorType target_type, TensorType base_type, Streams& streams)
      : format_(*FindQuantFormat(target_type)),
        same_type_(target_type == base_type),
        streams_(streams) {}

  uint32_t batch_groups() const { return same_type_ ? kBatchGroups : 1; }

  // The noise symbol of a group; `noise` is ignored when reading.
  uint8_t CodeNoise(uint8_t noise) {
    const auto context = static_cast<uint16_t>(last_noise_ / 4);
    last_noise_ = streams_.Code(kNoise, context, noise);
    return last_noise_;
  }

  // All fields of the targets of at most batch_groups() groups.
  void CodeFields(std::span<CodedGroup> groups) {
    const uint32_t block_count = format_.scale_bits == 0 ? groups[0].weight_count / 32 : 1;
    const uint32_t sub_count = groups[0].weight_count / format_.sub_weights;
    if (same_type_) {
      CodeHalves(groups, 0, kAll);
      CodeSubs(groups, 0, kAll);
    } else {
      for (uint32_t i = 0; i < block_count; ++i) CodeHalves(groups, i, 1);
      for (uint32_t sub = 0; sub < sub_count; ++sub) CodeSubs(groups, sub, 1);
    }
    CodeQuants(groups);
  }

 private:
  static constexpr uint32_t kAll = 16;

  uint32_t BlockCount(const CodedGroup& group, uint32_t most) const {
    return std::min(most, format_.scale_bits == 0 ? group.weight_count / 32 : 1);
  }

  // One of the two f16 fields of several blocks: the symbols; the raw bits come later.
  struct Halves {
    Stream stream;
    Fields<uint16_t, 8> predicted{};
    Fields<uint8_t, 8> symbols{};
  };

  void CodeHalves(std::span<CodedGroup> groups, uint32_t first, uint32_t most) {
    Halves d{kD};
    Halves m{kM};
    CodeHalfSymbols(d, &QuantGroup::d, last_d_, groups, first, most);
    if (format_.has_m) CodeHalfSymbols(m, &QuantGroup::m, last_m_, groups, first, most);
    uint32_t at = 0;
    for (CodedGroup& group : groups) {
      const uint32_t count = BlockCount(group, most);
      for (uint32_t i = first; i < first + count; ++i, ++at) {
        CodeHalfBits(d.predicted[at], d.symbols[at], group.target.d[i]);
        if (format_.has_m) CodeHalfBits(m.predicted[at], m.symbols[at], group.target.m[i]);
      }
      last_d_ = group.target.d[first + count - 1];
      last_m_ = group.target.m[first + count - 1];
    }
  }

  void CodeHalfSymbols(Halves& halves, std::array<uint16_t, 8> QuantGroup::*field, uint16_t last,
                       std::span<const CodedGroup> groups, uint32_t first, uint32_t most) {
    Fields<uint16_t, 8> contexts{};
    uint32_t at = 0;
    for (const CodedGroup& group : groups) {
      const uint32_t count = BlockCount(group, most);
      for (uint32_t i = first; i < first + count; ++i, ++at) {
        const uint16_t predicted = same_type_ ? (group.base.*field)[i] : last;
        halves.predicted[at] = predicted;
        contexts[at] = static_cast<uint16_t>(
            LevelClass(ScaleLevel(ScaleFromF16(predicted)), group.noise, 20, kHalfContexts - 1));
        if constexpr (!Streams::kReads) {
          const uint16_t value = (group.target.*field)[i];
          const uint32_t flip = (value ^ predicted) >> 15;
          halves.symbols[at] = static_cast<uint8_t>(
              2 * SignedSymbol((value & 0x7fff) - (predicted & 0x7fff)) + flip);
        }
      }
    }
    streams_.CodeMany(halves.stream, contexts.data(), at, halves.symbols.data());
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

  // Scales and minima of `most` sub-blocks from `first` on.
  void CodeSubs(std::span<CodedGroup> groups, uint32_t first, uint32_t most) {
    const uint32_t count = std::min(most, groups[0].weight_count / format_.sub_weights);
    if (format_.scale_bits != 0) CodeScales(groups, first, count);
    if (format_.min_bits != 0) CodeMins(groups, first, count);
  }

  // Where the base's scales or minima fall between the steps of the target's; without such a base,
  // the one before is the position.
  void PlaceSubs(const QuantGroup& base, uint16_t base_half, uint16_t half,
                 Row<int16_t> QuantGroup::*field, const QuantGroup& target, uint32_t first,
                 Row<int32_t>& positions) const {
    if (!same_type_) {
      positions[0] = first == 0 ? 0 : (target.*field)[first - 1] * (1 << kFractionBits);
      return;
    }
    ScaleRow products;
    ScaleRow divisors;
    MultiplyRow(ScaleFromF16(base_half), base.*field, products);
    const Scale divisor = ScaleFromF16(half);
    divisors.mantissa.fill(static_cast<int32_t>(divisor.mantissa));
    divisors.exponent.fill(divisor.exponent);
    FixedRatios(products, divisors, kGroupWeights / format_.sub_weights, kMaxOffset, positions);
  }
  // The quarter of a position; of a scale before it is 0.
  StepPosition PositionOf(int32_t fixed) const {
    return same_type_ ? SplitPosition(fixed) : StepPosition{fixed >> kFractionBits, 0};
  }

  void CodeScales(std::span<CodedGroup> groups, uint32_t first, uint32_t count) {
    const int32_t low = format_.scale_is_signed ? -(1 << (format_.scale_bits - 1)) : 0;
    const int32_t high = low + (1 << format_.scale_bits) - 1;
    const uint32_t shift = format_.scale_bits - 4 - (format_.scale_is_signed ? 1 : 0);
    Fields<uint16_t, 16> contexts{};
    Fields<int32_t, 16> predicted{};
    Fields<uint8_t, 16> symbols{};
    uint32_t at = 0;
    for (const CodedGroup& group : groups) {
      const uint16_t d = group.target.d[0];
      Row<int32_t> positions{};
      PlaceSubs(group.base, group.base.d[0], d, &QuantGroup::scale, group.target, first, positions);
      const int32_t level_context =
          64 * (LevelClass(ScaleLevel(ScaleFromF16(d)), group.noise, 12, 15) / 2);
      for (uint32_t i = 0; i < count; ++i) {
        const StepPosition position = PositionOf(positions[i]);
        const int32_t step = std::clamp(position.step, low, high);
        const int32_t magnitude = std::min(std::abs(step) >> shift, 15);
        predicted[at + i] = step;
        contexts[at + i] = static_cast<uint16_t>(position.quarter + 4 * magnitude + level_context);
      }
      if constexpr (!Streams::kReads) {
        for (uint32_t i = 0; i < count; ++i) {
          symbols[at + i] = ScaleSymbol(predicted[at + i], group.target.scale[first + i]);
        }
      }
      at += count;
    }
    streams_.CodeMany(kScale, contexts.data(), at, symbols.data());
    at = 0;
    for (uint32_t g = 0; g < groups.size(); ++g) {
      for (uint32_t i = first; i < first + count; ++i, ++at) {
        const int32_t scale = ScaleFrom(predicted[at], symbols[at]);
        groups[g].target.scale[i] = static_cast<int16_t>(scale);
        scale_residual_[g * 16 + i] = scale - predicted[at];
      }
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

  void CodeMins(std::span<CodedGroup> groups, uint32_t first, uint32_t count) {
    Fields<uint16_t, 16> contexts{};
    Fields<int32_t, 16> predicted{};
    Fields<uint8_t, 16> symbols{};
    uint32_t at = 0;
    for (uint32_t g = 0; g < groups.size(); ++g) {
      const CodedGroup& group = groups[g];
      Row<int32_t> positions{};
      PlaceSubs(group.base, group.base.m[0], group.target.m[0], &QuantGroup::min, group.target,
                first, positions);
      for (uint32_t i = 0; i < count; ++i) {
        const StepPosition position = PositionOf(positions[i]);
        const int32_t step = std::clamp(position.step, 0, (1 << format_.min_bits) - 1);
        const int32_t residual = std::clamp(scale_residual_[g * 16 + first + i], -3, 3) + 3;
        predicted[at + i] = step;
        contexts[at + i] = static_cast<uint16_t>(position.quarter + 4 * residual +
                                                 28 * (step >> (format_.min_bits - 3)));
      }
      if constexpr (!Streams::kReads) {
        for (uint32_t i = 0; i < count; ++i) {
          symbols[at + i] =
              FoldResidual(group.target.min[first + i] - predicted[at + i], format_.min_bits);
        }
      }
      at += count;
    }
    streams_.CodeMany(kMin, contexts.data(), at, symbols.data());
    at = 0;
    for (CodedGroup& group : groups) {
      for (uint32_t i = first; i < first + count; ++i, ++at) {
        group.target.min[i] =
            static_cast<int16_t>(ApplyResidual(predicted[at], symbols[at], 0, format_.min_bits));
      }
    }
  }

  void CodeQuants(std::span<CodedGroup> groups) {
    uint32_t weights = 0;
    for (const CodedGroup& group : groups) {
      UnitPlaces places;
      PlaceUnits(format_, group.view, group.target, group.noise, places);
      PredictQuants(format_, group.view, places, group.weight_count,
                    {contexts_.data() + weights, predicted_.data() + weights});
      if constexpr (!Streams::kReads) {
        FoldQuants(format_, predicted_.data() + weights, group.weight_count,
                   group.target.quant.data(), symbols_.data() + weights);
      }
      weights += group.weight_count;
    }
    streams_.CodeMany(kQuant, contexts_.data(), weights, symbols_.data());
    if constexpr (Streams::kReads) {
      weights = 0;
      for (CodedGroup& group : groups) {
        UnfoldQuants(format_, predicted_.data() + weights, group.weight_count,
                     symbols_.data() + weights, group.target.quant.data());
        weights += group.weight_count;
      }
    }
  }

  const QuantFormat& format_;
  bool same_type_;
  Streams& streams_;
  uint8_t last_noise_ = 0;
  uint16_t last_d_ = 0;
  uint16_t last_m_ = 0;
  Fields<int32_t, 16> scale_residual_{};
  alignas(64) Fields<uint16_t, kGroupWeights> contexts_;
  alignas(64) Fields<int8_t, kGroupWeights> predicted_;
  alignas(64) Fields<uint8_t, kGroupWeights> symbols_;
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

// Groups until there are enough to be coded together. A group shorter than others ends a frame.
class Batch {
 public:
  explicit Batch(uint32_t capacity) : groups_(capacity) {}

  CodedGroup& Next(const GroupBytes& bytes) {
    CodedGroup& group = groups_[count_++];
    group.weight_count = bytes.weight_count;
    group.target_offset = bytes.target_offset;
    return group;
  }
  bool IsEmpty() const { return count_ == 0; }
  bool IsFull() const { return count_ == groups_.size(); }
  std::span<CodedGroup> Take() { return std::span(groups_).first(std::exchange(count_, 0)); }

 private:
  std::vector<CodedGroup> groups_;
  uint32_t count_ = 0;
};

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
  Batch batch(coder.batch_groups());
  BaseView target_view;
  for (uint64_t first = 0; first < weights.weight_count; first += kGroupWeights) {
    const GroupBytes bytes = GroupAt(weights, first);
    const auto target_bytes = target.subspan(bytes.target_offset, bytes.target_bytes);
    const auto base_bytes = base.subspan(bytes.base_offset, bytes.base_bytes);
    if (weights.target_type == weights.base_type &&
        std::memcmp(target_bytes.data(), base_bytes.data(), target_bytes.size()) == 0) {
      coder.CodeNoise(0);
      continue;
    }
    CodedGroup& group = batch.Next(bytes);
    ViewBlocks(weights.base_type, base_bytes.data(), bytes.weight_count, group.base, group.view);
    UnpackGroup(weights.target_type, target_bytes.data(), bytes.weight_count / block_weights,
                group.target);
    ViewQuantGroup(format, group.target, bytes.weight_count, target_view);
    group.noise = coder.CodeNoise(MeasureNoise(group.view, target_view, bytes.weight_count));
    if (batch.IsFull()) coder.CodeFields(batch.Take());
  }
  if (!batch.IsEmpty()) coder.CodeFields(batch.Take());
  return streams.Finish(max_tables);
}

Result<void> QuantDecode(const WeightSpan& weights, std::span<const std::byte> payload,
                         std::span<const std::byte> base, std::span<std::byte> target) {
  GS_ASSIGN(StreamReader streams, StreamReader::Create(kContextCounts, payload));
  GroupCoder coder(weights.target_type, weights.base_type, streams);
  const uint32_t block_weights = GetTensorType(weights.target_type).block_weights;
  Batch batch(coder.batch_groups());
  const auto DecodeBatch = [&] {
    const auto groups = batch.Take();
    coder.CodeFields(groups);
    for (const CodedGroup& group : groups) {
      PackGroup(weights.target_type, group.target, group.weight_count / block_weights,
                target.data() + group.target_offset);
    }
  };
  for (uint64_t first = 0; first < weights.weight_count; first += kGroupWeights) {
    const GroupBytes bytes = GroupAt(weights, first);
    const auto base_bytes = base.subspan(bytes.base_offset, bytes.base_bytes);
    const uint8_t noise = coder.CodeNoise(0);
    if (noise == 0) {
      if (weights.target_type != weights.base_type) {
        return Fail(ErrorCode::kMalformed, "a frame keeps weights of another type");
      }
      std::memcpy(target.data() + bytes.target_offset, base_bytes.data(), base_bytes.size());
      continue;
    }
    CodedGroup& group = batch.Next(bytes);
    group.noise = noise;
    ViewBlocks(weights.base_type, base_bytes.data(), bytes.weight_count, group.base, group.view);
    if (batch.IsFull()) DecodeBatch();
  }
  if (!batch.IsEmpty()) DecodeBatch();
  return streams.Finish();
}

}  // namespace gguf_shard
