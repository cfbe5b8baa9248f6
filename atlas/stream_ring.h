// The place of streamed runs: a ring of slots, filled in the order of the schedule and freed from
// its tail, so that runs that lie together in the file lie together in memory and one read serves
// many of them.
//
//        tail                         head
//   .....|run|run|    |run|run|run|run|..........|     freed entries wait for those before them
//
// An entry is named by its ticket (0, 1, 2, ...). An entry never wraps: slots at the end that are
// too few for the next run stay empty for a round. Not thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace gguf_shard {

class StreamRing {
 public:
  static constexpr uint32_t kNoRun = ~uint32_t{0};

  struct Entry {
    uint32_t run_index;  // kNoRun once freed
    uint32_t slot;       // from the start of the ring
    uint32_t page_count;
    uint64_t turn;  // the use that it was read for (atlas/schedule.h)
    bool in_use;    // that use has begun: the entry is freed when its pins are gone
  };

  explicit StreamRing(uint32_t page_count);

  uint32_t page_count() const { return page_count_; }
  bool empty() const { return tail_ == next_; }

  // Pages that a run of `page_count` pages and those that follow it would find in one piece; 0 when
  // not even it fits. The end of the slots, or the tail, bounds the piece.
  struct Room {
    uint32_t page_count;
    bool bounded_by_tail;  // it grows when entries are freed
  };
  Room RoomFor(uint32_t page_count) const;

  // The ticket of a new entry, or nothing when it does not fit.
  std::optional<uint64_t> Allocate(uint32_t run_index, uint32_t page_count, uint64_t turn);
  void Free(uint64_t ticket);

  Entry& entry(uint64_t ticket);
  // The oldest entry that holds a run; nullptr when the ring is empty.
  const Entry* oldest() const { return empty() ? nullptr : &entries_[tail_ % entries_.size()]; }

 private:
  void DropFreed();
  uint32_t tail_slot() const { return entries_[tail_ % entries_.size()].slot; }

  uint32_t page_count_;
  uint32_t head_slot_ = 0;
  uint64_t tail_ = 0;  // ticket of the oldest entry
  uint64_t next_ = 0;  // ticket of the next entry
  std::vector<Entry> entries_;
};

}  // namespace gguf_shard
