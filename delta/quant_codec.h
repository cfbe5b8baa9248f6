// The codec for quantized targets: predicts the target's quants from the base's weights and the
// target's own scales, and codes the residuals. docs/FORMAT-DELTA.md, "Codec 1".
//
// Streams of a frame, each a symbol stream (delta/symbol_stream.h), groups of 256 weights in order:
//
//   noise   one symbol per group: 0 when the group equals the base's, else the level of the mean
//           change; nothing else is coded of a group with 0
//   d, m    per block: the f16 scales, as a difference of their bits to the base's
//   scale, min   per sub-block, given the base's and d and m
//   quant   per weight, given the position of the base's weight between the target's steps
//
// and the raw bits of d and m. A base of another type predicts quants only. Thread-safety: pure
// functions.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/error.h"
#include "core/tensor_type.h"

namespace gguf_shard {

// Whether the codec handles this pair of types.
bool CanQuantCode(TensorType target_type, TensorType base_type);

struct WeightSpan {
  TensorType target_type;
  TensorType base_type;
  uint64_t weight_count;  // whole blocks of both types
};

std::vector<std::byte> QuantEncode(const WeightSpan& weights, std::span<const std::byte> target,
                                   std::span<const std::byte> base, uint32_t max_tables);
// `target` has exactly the size of the weights.
Result<void> QuantDecode(const WeightSpan& weights, std::span<const std::byte> payload,
                         std::span<const std::byte> base, std::span<std::byte> target);

}  // namespace gguf_shard
