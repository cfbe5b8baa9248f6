#include "atlas/stream_ring.h"

#include "core/check.h"

namespace gguf_shard {

// Every entry has at least one page, so there are never more entries than pages.
StreamRing::StreamRing(uint32_t page_count) : page_count_(page_count), entries_(page_count) {}

StreamRing::Room StreamRing::RoomFor(uint32_t page_count) const {
  if (page_count > page_count_) return {0, false};
  if (empty()) return {page_count_, false};
  if (head_slot_ <= tail_slot()) {
    const uint32_t free_pages = tail_slot() - head_slot_;
    return {free_pages >= page_count ? free_pages : 0, true};
  }
  const uint32_t to_end = page_count_ - head_slot_;
  if (to_end >= page_count) return {to_end, false};
  return {tail_slot() >= page_count ? tail_slot() : 0, true};
}

std::optional<uint64_t> StreamRing::Allocate(uint32_t run_index, uint32_t page_count,
                                             uint64_t turn) {
  GS_CHECK(page_count > 0);
  if (RoomFor(page_count).page_count == 0) return std::nullopt;
  if (empty() || page_count_ - head_slot_ < page_count) head_slot_ = 0;
  GS_CHECK(next_ - tail_ < entries_.size());
  entries_[next_ % entries_.size()] = {run_index, head_slot_, page_count, turn, false};
  head_slot_ += page_count;
  return next_++;
}

void StreamRing::Free(uint64_t ticket) {
  entry(ticket).run_index = kNoRun;
  DropFreed();
}

void StreamRing::DropFreed() {
  while (!empty() && entries_[tail_ % entries_.size()].run_index == kNoRun) ++tail_;
}

StreamRing::Entry& StreamRing::entry(uint64_t ticket) {
  GS_CHECK(ticket >= tail_ && ticket < next_);
  return entries_[ticket % entries_.size()];
}

}  // namespace gguf_shard
