// What distinguishes one architecture from another, given that all of them are stacks of
// pre-normed attention and gated feed-forward blocks. One small file per architecture in
// runtime/architectures/ describes it; adding one is such a file and a line in architecture.cc.
// Immutable; thread-safe.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/error.h"

namespace gguf_shard {

// Which two values of a head one rotation turns: (2i, 2i+1), or (i, i + dimensions / 2).
enum class RopeOrder : uint8_t { kAdjacent, kHalves };

enum class Presence : uint8_t { kAbsent, kOptional, kRequired };

struct Architecture {
  std::string_view name;  // general.architecture
  RopeOrder rope_order;
  Presence projection_bias = Presence::kAbsent;    // attn_q, attn_k, attn_v
  Presence output_bias = Presence::kAbsent;        // attn_output
  Presence feed_forward_bias = Presence::kAbsent;  // ffn_gate, ffn_up, ffn_down of dense layers
  Presence head_norm = Presence::kAbsent;          // attn_q_norm, attn_k_norm: RMS norm per head
  Presence rope_factors = Presence::kAbsent;       // rope_freqs: each frequency divided by a factor
  Presence experts = Presence::kAbsent;            // optional: when expert_count is above 0
};

// kUnsupported names the architecture and lists those there are.
Result<const Architecture*> FindArchitecture(std::string_view name);

}  // namespace gguf_shard
