// The keys and values of every position seen, allocated once for the whole context.
//
//   [layer][key/value head][position] x one row of key_length values, then the same for values
//
// The positions of a head lie together: attention reads a head's rows in one sweep. Memory becomes
// resident as positions fill; the budget counts all of it.
// Thread-safety: rows of different positions may be written, and written rows read, at once.
#pragma once

#include <cstdint>

#include "core/error.h"
#include "kernels/vector_ops.h"
#include "runtime/hyperparameters.h"
#include "runtime/memory_block.h"

namespace gguf_shard {

class KvCache {
 public:
  // Bytes for a context; kTooLarge when it overflows, kInvalidArgument when rows of this type do
  // not fit the model's heads.
  static Result<uint64_t> Bytes(const Hyperparameters& numbers, KvType type, uint64_t positions);
  static Result<KvCache> Create(const Hyperparameters& numbers, KvType type, uint32_t positions);

  KvType type() const { return type_; }
  uint32_t positions() const { return static_cast<uint32_t>(positions_); }
  uint64_t size_bytes() const { return memory_.size_bytes(); }
  size_t key_row_bytes() const { return key_row_bytes_; }
  size_t value_row_bytes() const { return value_row_bytes_; }

  // Row of position 0; the following positions follow.
  std::byte* keys(uint32_t layer, uint32_t head) const {
    return memory_.data() + HeadOffset(layer, head);
  }
  std::byte* values(uint32_t layer, uint32_t head) const {
    return keys(layer, head) + positions_ * key_row_bytes_;
  }

 private:
  size_t HeadOffset(uint32_t layer, uint32_t head) const {
    const size_t head_bytes = positions_ * (key_row_bytes_ + value_row_bytes_);
    return (size_t{layer} * head_count_ + head) * head_bytes;
  }

  KvType type_ = KvType::kF32;
  uint32_t head_count_ = 0;
  size_t positions_ = 0;
  size_t key_row_bytes_ = 0;
  size_t value_row_bytes_ = 0;
  MemoryBlock memory_;
};

}  // namespace gguf_shard
