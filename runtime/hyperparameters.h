// The numbers that define a model, from the source GGUF's metadata ("llama.block_count", ...).
//
// Invariants of a read set: every count is within the limits below, heads are a multiple of
// key/value heads, rotary dimensions are even and fit a head, and 0 < experts used <= experts when
// there are experts. So products of two sizes fit 64 bits with room to spare.
// Thread-safety: plain data.
#pragma once

#include <cstdint>
#include <string>

#include "core/error.h"
#include "core/gguf.h"

namespace gguf_shard {

// Far above every model known; they keep hostile metadata from asking for absurd memory.
inline constexpr uint64_t kMaxLayers = 4096;
inline constexpr uint64_t kMaxWidth = uint64_t{1} << 22;  // embedding, feed-forward, heads * length
inline constexpr uint64_t kMaxHeads = 65536;
inline constexpr uint64_t kMaxExperts = 65536;
inline constexpr uint64_t kMaxContext = uint64_t{1} << 28;

enum class RopeScaling : uint8_t { kNone, kLinear, kYarn };

struct RopeParameters {
  uint32_t dimensions = 0;  // rotated values of each head, an even number
  double frequency_base = 10000;
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1;  // the context is this many times the original one
  // YaRN only.
  double original_context = 0;
  double attention_factor = 1;
  double extrapolation_mix = 1;
  double beta_fast = 32;
  double beta_slow = 1;
};

struct Hyperparameters {
  std::string architecture;
  uint32_t context_length = 0;
  uint32_t embedding_length = 0;
  uint32_t layer_count = 0;
  uint32_t head_count = 0;
  uint32_t head_count_kv = 0;
  uint32_t key_length = 0;    // values of one head's query and key
  uint32_t value_length = 0;  // values of one head's value
  uint32_t feed_forward_length = 0;
  uint32_t expert_count = 0;  // 0: a dense model
  uint32_t expert_used_count = 0;
  uint32_t expert_feed_forward_length = 0;
  float rms_epsilon = 0;
  RopeParameters rope;

  uint32_t query_width() const { return head_count * key_length; }
  uint32_t key_width() const { return head_count_kv * key_length; }
  uint32_t value_width() const { return head_count_kv * value_length; }
  uint32_t attention_width() const { return head_count * value_length; }
  uint32_t heads_per_group() const { return head_count / head_count_kv; }
  // Of the feed-forward part, or of one expert's.
  uint32_t inner_width() const {
    return expert_count > 0 ? expert_feed_forward_length : feed_forward_length;
  }
};

// Reads and checks the numbers of `header`'s architecture. A missing or impossible key is named.
Result<Hyperparameters> ReadHyperparameters(const GgufHeader& header);

}  // namespace gguf_shard
