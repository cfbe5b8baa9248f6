#include "atlas/page_pool.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/bytes.h"
#include "core/check.h"
#include "core/huge_pages.h"

namespace gguf_shard {
namespace {

Error PoolError(uint64_t bytes, int error_number) {
  return Error(ErrorCode::kOutOfMemory, fmt::format("cannot allocate the page pool of {} bytes: {}",
                                                    bytes, std::strerror(error_number)));
}

// A mapping that starts on a huge page: address space for one more is taken, and what is not needed
// is given back before any of it is touched.
std::byte* MapAligned(uint64_t bytes) {
  const uint64_t reserved_bytes = bytes + kHugePageBytes;
  void* reserved =
      mmap(nullptr, reserved_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (reserved == MAP_FAILED) return nullptr;
  const auto start = reinterpret_cast<uint64_t>(reserved);
  const uint64_t aligned = AlignUp(start, kHugePageBytes);
  if (aligned > start) munmap(reserved, aligned - start);
  const uint64_t tail_bytes = start + reserved_bytes - (aligned + bytes);
  if (tail_bytes > 0) munmap(reinterpret_cast<void*>(aligned + bytes), tail_bytes);
  return reinterpret_cast<std::byte*>(aligned);
}

}  // namespace

Result<PagePool> PagePool::Allocate(uint64_t page_count) {
  if (page_count == 0) return PagePool(nullptr, 0);
  const uint64_t bytes = page_count * kPageBytes;
  std::byte* memory = MapAligned(bytes);
  if (memory == nullptr) return Fail(PoolError(bytes, errno));
  AskForHugePages(memory, bytes);
  return PagePool(memory, page_count);
}

bool PagePool::Populate(uint64_t first_slot, uint64_t slot_count) const {
  GS_CHECK(first_slot + slot_count <= page_count_);
  return madvise(slot(first_slot), slot_count * kPageBytes, MADV_POPULATE_WRITE) == 0;
}

Result<void> PagePool::Touch(uint64_t first_slot, uint64_t slot_count) const {
  if (slot_count == 0 || Populate(first_slot, slot_count)) return {};
  if (errno != EINVAL) return Fail(PoolError(slot_count * kPageBytes, errno));
  // Kernels before 5.14: write to each page.
  for (uint64_t i = 0; i < slot_count; ++i) {
    volatile std::byte* const page = slot(first_slot + i);
    *page = *page;
  }
  return {};
}

PagePool::PagePool(PagePool&& other) noexcept
    : memory_(std::exchange(other.memory_, nullptr)),
      page_count_(std::exchange(other.page_count_, 0)) {}

PagePool& PagePool::operator=(PagePool&& other) noexcept {
  std::swap(memory_, other.memory_);
  std::swap(page_count_, other.page_count_);
  return *this;
}

PagePool::~PagePool() {
  if (memory_ != nullptr) munmap(memory_, page_count_ * kPageBytes);
}

}  // namespace gguf_shard
