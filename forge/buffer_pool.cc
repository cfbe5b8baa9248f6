#include "forge/buffer_pool.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "core/bytes.h"
#include "core/check.h"
#include "core/huge_pages.h"
#include "core/page.h"

namespace gguf_shard {
namespace {

// Direct reads and writes of memory in 4 KB pages are cut up by the kernel into a segment for each,
// and reach half of what the disk gives into huge pages (measured). For small buffers that would be
// a waste.
uint64_t AlignmentOf(uint64_t bytes) {
  return bytes < kHugePageBytes ? kPageBytes : kHugePageBytes;
}

std::byte* Allocate(uint64_t bytes) {
  auto* memory = static_cast<std::byte*>(std::aligned_alloc(AlignmentOf(bytes), bytes));
  if (memory != nullptr && bytes >= kHugePageBytes) AskForHugePages(memory, bytes);
  return memory;
}

}  // namespace

PooledBuffer::PooledBuffer(PooledBuffer&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)), bytes_(std::exchange(other.bytes_, {})) {}

PooledBuffer& PooledBuffer::operator=(PooledBuffer&& other) noexcept {
  std::swap(pool_, other.pool_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

PooledBuffer::~PooledBuffer() {
  if (pool_ != nullptr) pool_->Release(bytes_);
}

BufferPool::BufferPool(uint64_t budget_bytes, uint64_t standard_bytes)
    : budget_bytes_(budget_bytes), standard_bytes_(standard_bytes) {}

BufferPool::~BufferPool() {
  GS_CHECK(in_use_count_ == 0);
  DropFree();
}

Result<PooledBuffer> BufferPool::Acquire(uint64_t bytes) {
  const uint64_t least_bytes = std::max(bytes, standard_bytes_);
  const uint64_t wanted_bytes = AlignUp(least_bytes, AlignmentOf(least_bytes));
  std::unique_lock lock(mutex_);
  while (!closed_) {
    if (const auto reused = TakeFree(bytes); !reused.empty()) {
      ++in_use_count_;
      return PooledBuffer(this, reused);
    }
    if (allocated_bytes_ + wanted_bytes > budget_bytes_) DropFree();
    if (allocated_bytes_ + wanted_bytes <= budget_bytes_ || in_use_count_ == 0) {
      std::byte* const memory = Allocate(wanted_bytes);
      if (memory == nullptr) {
        return Fail(Error(ErrorCode::kOutOfMemory, "cannot allocate a buffer")
                        .Expected(std::to_string(wanted_bytes) + " bytes"));
      }
      allocated_bytes_ += wanted_bytes;
      ++in_use_count_;
      return PooledBuffer(this, {memory, wanted_bytes});
    }
    released_.wait(lock);
  }
  return Fail(ErrorCode::kCancelled, "interrupted");
}

void BufferPool::Close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  released_.notify_all();
}

void BufferPool::Release(std::span<std::byte> bytes) {
  const std::lock_guard lock(mutex_);
  --in_use_count_;
  free_.push_back(bytes);
  released_.notify_all();
}

std::span<std::byte> BufferPool::TakeFree(uint64_t bytes) {
  // The last one released is the most likely to be in the processor's cache.
  const auto found = std::find_if(free_.rbegin(), free_.rend(),
                                  [bytes](auto buffer) { return buffer.size() >= bytes; });
  if (found == free_.rend()) return {};
  const auto buffer = *found;
  free_.erase(std::next(found).base());
  return buffer;
}

void BufferPool::DropFree() {
  for (const auto buffer : free_) {
    allocated_bytes_ -= buffer.size();
    std::free(buffer.data());
  }
  free_.clear();
}

}  // namespace gguf_shard
