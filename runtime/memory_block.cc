#include "runtime/memory_block.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <limits>
#include <utility>

namespace gguf_shard {

Result<MemoryBlock> MemoryBlock::Allocate(uint64_t size_bytes, const char* purpose) {
  if (size_bytes == 0) return MemoryBlock();
  void* memory = MAP_FAILED;
  if (size_bytes <= uint64_t{std::numeric_limits<int64_t>::max()}) {
    memory = mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  }
  if (memory == MAP_FAILED) {
    return Fail(ErrorCode::kOutOfMemory,
                fmt::format("cannot allocate {} bytes for {}", size_bytes, purpose));
  }
  return MemoryBlock(static_cast<std::byte*>(memory), size_bytes);
}

MemoryBlock::MemoryBlock(MemoryBlock&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_bytes_(std::exchange(other.size_bytes_, 0)) {}

MemoryBlock& MemoryBlock::operator=(MemoryBlock&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_bytes_, other.size_bytes_);
  return *this;
}

MemoryBlock::~MemoryBlock() {
  if (data_ != nullptr) munmap(data_, size_bytes_);
}

}  // namespace gguf_shard
