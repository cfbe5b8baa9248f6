// The quants of a batch of groups, written or read: what differs between the two is inside
// `Streams` (delta/stream_set.h). docs/FORMAT-DELTA.md, "quant". For one thread.
#pragma once

#include "delta/group_batch.h"
#include "delta/quant_decode.h"

namespace gguf_shard {

template <typename Streams>
class QuantCoder {
 public:
  QuantCoder(const GroupShape& shape, Streams& streams) : shape_(shape), streams_(streams) {}

  // Scales and minima are known.
  void Code(std::span<CodedGroup> groups) {
    for (CodedGroup& group : groups) {
      PlaceUnits(shape_.target, group.view, group.target, group.noise, group.places);
    }
    for (CodedGroup& group : groups) CodeGroup(group);
  }

 private:
  void CodeGroup(CodedGroup& group) {
    const QuantFormat& format = shape_.target;
    const uint32_t count = group.weight_count;
    int8_t* const quants = group.target.quant.data();
    if constexpr (Streams::kReads) {
      if (DecodeQuants(format, group.view, group.places, count, streams_.reader(kQuant), quants)) {
        return;
      }
    }
    PredictQuants(format, group.view, group.places, count, {contexts_.data(), predicted_.data()});
    if constexpr (!Streams::kReads) {
      FoldQuants(format, predicted_.data(), count, quants, symbols_.data());
    }
    streams_.CodeMany(kQuant, contexts_.data(), count, symbols_.data());
    if constexpr (Streams::kReads) {
      UnfoldQuants(format, predicted_.data(), count, symbols_.data(), quants);
    }
  }

  const GroupShape& shape_;
  Streams& streams_;
  alignas(64) std::array<uint16_t, kGroupWeights> contexts_{};
  alignas(64) std::array<int8_t, kGroupWeights> predicted_{};
  alignas(64) std::array<uint8_t, kGroupWeights> symbols_{};
};

}  // namespace gguf_shard
