// Zeroed memory straight from the operating system, for the few large allocations of a run. It
// becomes resident as it is touched and goes back as a whole, so malloc's arenas keep nothing of
// it. Move-only; not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/error.h"

namespace gguf_shard {

class MemoryBlock {
 public:
  // `purpose` names the memory in the error (kOutOfMemory).
  static Result<MemoryBlock> Allocate(uint64_t size_bytes, const char* purpose);

  MemoryBlock() = default;
  MemoryBlock(MemoryBlock&& other) noexcept;
  MemoryBlock& operator=(MemoryBlock&& other) noexcept;
  MemoryBlock(const MemoryBlock&) = delete;
  MemoryBlock& operator=(const MemoryBlock&) = delete;
  ~MemoryBlock();

  std::byte* data() const { return data_; }  // page-aligned; null when empty
  uint64_t size_bytes() const { return size_bytes_; }
  std::span<std::byte> bytes() const { return {data_, size_bytes_}; }

 private:
  MemoryBlock(std::byte* data, uint64_t size_bytes) : data_(data), size_bytes_(size_bytes) {}

  std::byte* data_ = nullptr;
  uint64_t size_bytes_ = 0;
};

}  // namespace gguf_shard
