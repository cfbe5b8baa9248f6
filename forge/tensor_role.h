// What a tensor is for, read from its name: its layer, its place in the order of use, and how it is
// used. The names are those of GGUF models (token_embd.weight, blk.7.attn_q.weight, ...).
//
// A name that is not in the table is a matrix of unknown use: it comes last in its layer, or, when
// it belongs to no layer, last in the model, in the order of the source.
// Thread-safety: pure functions.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string_view>

namespace gguf_shard {

enum class TensorUse : uint8_t {
  kMatrix,       // multiplied with activations
  kExperts,      // one matrix per expert, stacked in the third dimension
  kRouter,       // chooses the experts
  kGathered,     // rows are looked up: embeddings
  kSmallVector,  // norms, biases, rope factors: used whole, on every pass
};

// Sorts tensors by first use: section, then layer, then step; equal keys keep the source's order.
struct ConsumptionKey {
  uint32_t section = 0;  // input, encoder layers, layers, output, unknown
  uint32_t layer = 0;
  uint32_t step = 0;  // within the section or layer
  auto operator<=>(const ConsumptionKey&) const = default;
};

struct TensorRole {
  TensorUse use = TensorUse::kMatrix;
  std::optional<uint32_t> layer;
  ConsumptionKey key;
};

TensorRole TensorRoleOf(std::string_view name);

}  // namespace gguf_shard
