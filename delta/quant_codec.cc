#include "delta/quant_codec.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "delta/group_batch.h"
#include "delta/half_coder.h"
#include "delta/quant_coder.h"
#include "delta/stream_set.h"
#include "delta/sub_coder.h"
#include "delta/wide.h"

namespace gguf_shard {
namespace {

// Groups, coded or decoded: what differs between the two is inside `Streams`. Fields that do not
// depend on each other are coded together: those of a batch where the base has the same type, else
// one by one.
template <typename Streams>
class GroupCoder {
 public:
  GroupCoder(const GroupShape& shape, Streams& streams)
      : shape_(shape),
        streams_(streams),
        halves_(shape, streams),
        subs_(shape, streams),
        quants_(shape, streams) {}

  // The noise symbol of a group; `noise` is ignored when reading.
  uint8_t CodeNoise(uint8_t noise) {
    const auto context = static_cast<uint16_t>(last_noise_ / 4);
    last_noise_ = streams_.Code(kNoise, context, noise);
    return last_noise_;
  }

  // All fields of the targets of a batch.
  void CodeFields(std::span<CodedGroup> groups) {
    constexpr uint32_t kAll = 16;
    if (shape_.same_type) {
      halves_.Code(groups, 0, kAll);
      subs_.Code(groups, 0);
    } else {
      const uint32_t weight_count = groups[0].weight_count;
      for (uint32_t i = 0; i < shape_.BlockCount(weight_count); ++i) halves_.Code(groups, i, 1);
      for (uint32_t sub = 0; sub < weight_count / shape_.target.sub_weights; ++sub) {
        subs_.Code(groups, sub);
      }
    }
    quants_.Code(groups);
  }

 private:
  const GroupShape& shape_;
  Streams& streams_;
  HalfCoder<Streams> halves_;
  SubCoder<Streams> subs_;
  QuantCoder<Streams> quants_;
  uint8_t last_noise_ = 0;
};

double ToDouble(Scale scale) {
  const auto exponent = static_cast<uint64_t>(std::clamp(scale.exponent, -1000, 1000) + 1023);
  return static_cast<double>(scale.mantissa) * std::bit_cast<double>(exponent << 52);
}

// The sixteen weights of a unit: slopes and levels of both sides, what the offsets differ by.
struct UnitPair {
  float target_slope;
  float base_slope;
  float offset;
  const int16_t* target_level;
  const int16_t* base_level;
};

GS_WIDE inline void AddDifferences(const UnitPair& pair, float* __restrict sums) {
  const float target_slope = pair.target_slope;
  const float base_slope = pair.base_slope;
  const float offset = pair.offset;
  const int16_t* __restrict const target_level = pair.target_level;
  const int16_t* __restrict const base_level = pair.base_level;
  for (uint32_t i = 0; i < kViewUnit; ++i) {
    sums[i] += std::abs(target_slope * static_cast<float>(target_level[i]) -
                        base_slope * static_cast<float>(base_level[i]) + offset);
  }
}

// The level of the mean absolute difference, 1..255. What is found here is written to the frame, so
// floating point does no harm; sums have one order, so that every machine makes the same patch.
uint8_t MeasureNoise(const BaseView& base, const BaseView& target, uint32_t weight_count) {
  std::array<float, kViewUnit> sums;
  RunWide([&]() GS_WIDE {
    std::array<float, kViewUnit> parts{};
    for (uint32_t first = 0; first < weight_count; first += kViewUnit) {
      const uint32_t unit = first / kViewUnit >> base.unit_shift;
      const double offset = ToDouble(target.offset[unit]) - ToDouble(base.offset[unit]);
      AddDifferences({static_cast<float>(ToDouble(target.slope[unit])),
                      static_cast<float>(ToDouble(base.slope[unit])), static_cast<float>(offset),
                      target.level.data() + first, base.level.data() + first},
                     parts.data());
    }
    sums = parts;
  });
  double sum = 0;
  for (const float part : sums) sum += static_cast<double>(part);
  if (!(sum > 0)) return 1;
  return static_cast<uint8_t>(
      std::clamp(std::floor(2 * std::log2(sum / weight_count) + 0.5) + 128, 1.0, 255.0));
}

// The base's side of a batch.
void ViewBases(TensorType type, std::span<const std::byte> base, std::span<CodedGroup> groups) {
  const QuantFormat* format = FindQuantFormat(type);
  const uint32_t block_weights = GetTensorType(type).block_weights;
  for (CodedGroup& group : groups) {
    const std::byte* const blocks = base.data() + group.base_offset;
    if (format == nullptr) {
      ViewFloats(type, blocks, group.weight_count, group.view);
    } else {
      UnpackGroup(type, blocks, group.weight_count / block_weights, group.base);
    }
  }
  if (format == nullptr) return;
  for (CodedGroup& group : groups) {
    ViewQuantGroup(*format, group.base, group.weight_count, group.view);
  }
}

}  // namespace

bool CanQuantCode(TensorType target_type, TensorType base_type) {
  return FindQuantFormat(target_type) != nullptr && CanView(base_type);
}

std::vector<std::byte> QuantEncode(const WeightSpan& weights, std::span<const std::byte> target,
                                   std::span<const std::byte> base, uint32_t max_tables) {
  StreamWriter streams(kQuantStreamContexts);
  streams.Reserve(kQuant, weights.weight_count);
  const GroupShape shape(weights.target_type, weights.base_type);
  const GroupLayout layout(weights);
  GroupCoder coder(shape, streams);
  const uint32_t block_weights = GetTensorType(weights.target_type).block_weights;
  GroupBatch batch(shape);
  BaseView target_view;
  target_view.unit_shift = shape.unit_shift;
  for (uint64_t first = 0; first < weights.weight_count; first += kGroupWeights) {
    const GroupBytes bytes = layout.At(first);
    const auto target_bytes = target.subspan(bytes.target_offset, bytes.target_bytes);
    const auto base_bytes = base.subspan(bytes.base_offset, bytes.base_bytes);
    if (shape.same_type &&
        std::memcmp(target_bytes.data(), base_bytes.data(), target_bytes.size()) == 0) {
      coder.CodeNoise(0);
      continue;
    }
    CodedGroup& group = batch.Next(bytes);
    ViewBases(weights.base_type, base, std::span(&group, 1));
    UnpackGroup(weights.target_type, target_bytes.data(), bytes.weight_count / block_weights,
                group.target);
    ViewQuantGroup(shape.target, group.target, bytes.weight_count, target_view);
    group.noise = coder.CodeNoise(MeasureNoise(group.view, target_view, bytes.weight_count));
    if (batch.IsFull()) coder.CodeFields(batch.Take());
  }
  if (!batch.IsEmpty()) coder.CodeFields(batch.Take());
  return streams.Finish(max_tables);
}

Result<void> QuantDecode(const WeightSpan& weights, std::span<const std::byte> payload,
                         std::span<const std::byte> base, std::span<std::byte> target) {
  GS_ASSIGN(StreamReader streams, StreamReader::Create(kQuantStreamContexts, payload));
  const GroupShape shape(weights.target_type, weights.base_type);
  const GroupLayout layout(weights);
  GroupCoder coder(shape, streams);
  const uint32_t block_weights = GetTensorType(weights.target_type).block_weights;
  GroupBatch batch(shape);
  const auto DecodeBatch = [&] {
    const auto groups = batch.Take();
    ViewBases(weights.base_type, base, groups);
    coder.CodeFields(groups);
    for (const CodedGroup& group : groups) {
      PackGroup(weights.target_type, group.target, group.weight_count / block_weights,
                target.data() + group.target_offset);
    }
  };
  for (uint64_t first = 0; first < weights.weight_count; first += kGroupWeights) {
    const GroupBytes bytes = layout.At(first);
    const uint8_t noise = coder.CodeNoise(0);
    if (noise == 0) {
      if (!shape.same_type) {
        return Fail(ErrorCode::kMalformed, "a frame keeps weights of another type");
      }
      std::memcpy(target.data() + bytes.target_offset, base.data() + bytes.base_offset,
                  bytes.base_bytes);
      continue;
    }
    batch.Next(bytes).noise = noise;
    if (batch.IsFull()) DecodeBatch();
  }
  if (!batch.IsEmpty()) DecodeBatch();
  return streams.Finish();
}

}  // namespace gguf_shard
