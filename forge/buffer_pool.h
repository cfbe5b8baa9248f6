// Page-aligned buffers under one memory budget, reused so that the kernel does not zero fresh
// memory for every batch; large ones in huge pages where the system has them.
//
// Invariant: buffers in use plus buffers kept for reuse never exceed the budget, except that one
// buffer larger than the budget is allowed while nothing else is in use.
// Thread-safety: every function may be called from many threads. The pool outlives its buffers.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "core/error.h"

namespace gguf_shard {

class BufferPool;

// A buffer; goes back to its pool when it dies.
class PooledBuffer {
 public:
  PooledBuffer() = default;
  PooledBuffer(PooledBuffer&& other) noexcept;
  PooledBuffer& operator=(PooledBuffer&& other) noexcept;
  PooledBuffer(const PooledBuffer&) = delete;
  PooledBuffer& operator=(const PooledBuffer&) = delete;
  ~PooledBuffer();

  std::span<std::byte> bytes() const { return bytes_; }

 private:
  friend class BufferPool;
  PooledBuffer(BufferPool* pool, std::span<std::byte> bytes) : pool_(pool), bytes_(bytes) {}

  BufferPool* pool_ = nullptr;
  std::span<std::byte> bytes_;  // the whole allocation
};

class BufferPool {
 public:
  // Buffers are at least `standard_bytes` large, so that most of them can serve any batch.
  BufferPool(uint64_t budget_bytes, uint64_t standard_bytes);
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  // Waits until the budget allows a buffer of at least `bytes`. kCancelled after Close(),
  // kOutOfMemory when the allocation fails. Contents are undefined.
  Result<PooledBuffer> Acquire(uint64_t bytes);
  // Wakes everyone who waits.
  void Close();

 private:
  friend class PooledBuffer;
  void Release(std::span<std::byte> bytes);
  // With the lock held:
  std::span<std::byte> TakeFree(uint64_t bytes);
  void DropFree();

  const uint64_t budget_bytes_;
  const uint64_t standard_bytes_;
  std::mutex mutex_;
  std::condition_variable released_;
  bool closed_ = false;
  uint64_t allocated_bytes_ = 0;  // in use and free
  size_t in_use_count_ = 0;
  std::vector<std::span<std::byte>> free_;
};

}  // namespace gguf_shard
