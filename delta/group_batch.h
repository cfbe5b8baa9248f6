// Groups of a frame of quantized weights, and a few of them that are coded together: their fields
// wait neither for each other nor for another stream. What is done with a batch is done with all
// its groups, step by step: what one step writes has settled when the next reads it in wider
// pieces. docs/FORMAT-DELTA.md, "Codec 1". For one thread.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "delta/base_view.h"
#include "delta/quant_codec.h"
#include "delta/quant_group.h"
#include "delta/quant_predict.h"

namespace gguf_shard {

enum QuantStream : uint32_t { kNoise, kD, kM, kScale, kMin, kQuant, kQuantStreamCount };

inline constexpr uint32_t kNoiseContexts = 64;   // noise symbol of the group before / 4
inline constexpr uint32_t kHalfContexts = 32;    // level of the predicted f16 against the noise
inline constexpr uint32_t kScaleContexts = 512;  // quarter 4, magnitude 16, level 8
inline constexpr uint32_t kMinContexts = 224;    // quarter 4, scale's residual 7, magnitude 8
inline constexpr std::array<uint32_t, kQuantStreamCount> kQuantStreamContexts = {
    kNoiseContexts, kHalfContexts, kHalfContexts, kScaleContexts, kMinContexts, kQuantContexts};

inline constexpr uint32_t kBatchGroups = 8;

// What many groups have of one field, one after the other, and room for a row more.
template <typename Value, uint32_t kOfGroup>
using Fields = std::array<Value, kBatchGroups * kOfGroup + kRowScales>;

// What all groups of a frame have in common.
struct GroupShape {
  GroupShape(TensorType target_type, TensorType base_type)
      : target(*FindQuantFormat(target_type)),
        same_type(target_type == base_type),
        unit_shift(UnitShift(target_type, base_type)) {}

  const QuantFormat& target;
  bool same_type;
  uint32_t unit_shift;

  uint32_t BlockCount(uint32_t weight_count) const {
    return target.scale_bits == 0 ? weight_count / 32 : 1;
  }
};

struct CodedGroup {
  uint32_t weight_count;
  uint8_t noise;
  size_t target_offset;  // of the group's bytes in the frame
  size_t base_offset;    // of its base's
  BaseView view;
  QuantGroup base;  // matters only when the types are equal
  QuantGroup target;
  UnitPlaces places;
};

// The bytes of each group of both sides.
struct GroupBytes {
  uint32_t weight_count;
  size_t target_offset;
  size_t target_bytes;
  size_t base_offset;
  size_t base_bytes;
};

class GroupLayout {
 public:
  explicit GroupLayout(const WeightSpan& weights)
      : weight_count_(weights.weight_count),
        target_(GetTensorType(weights.target_type)),
        base_(GetTensorType(weights.base_type)) {}

  GroupBytes At(uint64_t first_weight) const {
    const uint64_t count = std::min<uint64_t>(kGroupWeights, weight_count_ - first_weight);
    return {static_cast<uint32_t>(count), Bytes(target_, first_weight), Bytes(target_, count),
            Bytes(base_, first_weight), Bytes(base_, count)};
  }

 private:
  static size_t Bytes(const TensorTypeInfo& type, uint64_t weight_count) {
    return weight_count / type.block_weights * type.block_bytes;
  }

  uint64_t weight_count_;
  const TensorTypeInfo& target_;
  const TensorTypeInfo& base_;
};

// Groups until there are enough to be coded together: with a base of another type, where fields are
// predicted from the ones before, one. A group shorter than others ends a frame.
class GroupBatch {
 public:
  explicit GroupBatch(const GroupShape& shape) : groups_(shape.same_type ? kBatchGroups : 1) {
    for (CodedGroup& group : groups_) group.view.unit_shift = shape.unit_shift;
  }

  CodedGroup& Next(const GroupBytes& bytes) {
    CodedGroup& group = groups_[count_++];
    group.weight_count = bytes.weight_count;
    group.target_offset = bytes.target_offset;
    group.base_offset = bytes.base_offset;
    return group;
  }
  bool IsEmpty() const { return count_ == 0; }
  bool IsFull() const { return count_ == groups_.size(); }
  std::span<CodedGroup> Take() { return std::span(groups_).first(std::exchange(count_, 0)); }

 private:
  std::vector<CodedGroup> groups_;
  uint32_t count_ = 0;
};

}  // namespace gguf_shard
