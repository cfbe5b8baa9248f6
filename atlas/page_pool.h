// The memory that holds weights: one anonymous mapping of page slots in huge pages, allocated once.
// It never grows. Thread-safe: the slots are the caller's to share out.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/error.h"
#include "core/page.h"

namespace gguf_shard {

class PagePool {
 public:
  // kOutOfMemory when the system refuses.
  static Result<PagePool> Allocate(uint64_t page_count);

  PagePool(PagePool&& other) noexcept;
  PagePool& operator=(PagePool&& other) noexcept;
  PagePool(const PagePool&) = delete;
  PagePool& operator=(const PagePool&) = delete;
  ~PagePool();

  // Gives the slots real memory now, so that later accesses do not fault, and keeps what they hold.
  // Slots are touched once anyway; this chooses when. Nobody may use them meanwhile.
  Result<void> Touch(uint64_t first_slot, uint64_t slot_count) const;
  // The same beside reads into these slots. False when the system refuses or has no such call
  // (Linux before 5.14).
  bool Populate(uint64_t first_slot, uint64_t slot_count) const;

  std::byte* slot(uint64_t slot_index) const { return memory_ + slot_index * kPageBytes; }
  uint64_t page_count() const { return page_count_; }

 private:
  PagePool(std::byte* memory, uint64_t page_count) : memory_(memory), page_count_(page_count) {}

  std::byte* memory_ = nullptr;
  uint64_t page_count_ = 0;
};

}  // namespace gguf_shard
