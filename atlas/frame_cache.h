// The place of runs that are used on demand, and of any run that has no other place: frames of a
// few fixed sizes (frame classes), each class with its own order of eviction.
//
// Frames of one size cannot fragment: a run of a class fits every frame of it. Class 0 is the
// universal one: its frames hold the longest run of the model, and there are at least as many of
// them as runs may be pinned at once, so that a run that someone waits for always gets one in the
// end.
//
// A frame is free, busy (its run is being loaded, or is pinned) or idle (its run is resident and
// may be evicted). Idle frames are evicted by zone first (cold, then normal, then high) and then as
// the policy ranks their runs (atlas/cache_policy.h). Frames that were prefetched and not used
// since are spared: a prefetch never evicts them, a waiting Pin only when there is no other; after
// as many uses of the class as it has frames, a prefetch was wrong, and they go first. Not
// thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "atlas/cache_policy.h"
#include "atlas/residency_plan.h"
#include "core/map.h"

namespace gguf_shard {

class FrameCache {
 public:
  static constexpr uint32_t kNone = ~uint32_t{0};
  static constexpr uint32_t kUniversal = 0;

  explicit FrameCache(std::span<const FrameClass> classes, CachePolicy policy = CachePolicy::kLru,
                      uint32_t run_count = 0);

  // The frame of a class to be taken next: a free one, or else the idle one to be evicted.
  std::optional<uint32_t> Next(uint32_t frame_class, bool for_prefetch) const;
  bool IsIdle(uint32_t frame) const { return frames_[frame].state == State::kIdle; }
  // free -> busy. The next one is the only free frame that may be taken.
  void Take(uint32_t frame, uint32_t run_index);

  uint32_t run_index(uint32_t frame) const { return frames_[frame].run_index; }
  uint32_t slot(uint32_t frame) const { return frames_[frame].slot; }

  // busy -> idle, the most recently used of its zone.
  void MakeIdle(uint32_t frame, Zone zone, bool unused_prefetch);
  // idle -> busy, for a pin.
  void MakeBusy(uint32_t frame);
  // Called once per pin: what the policy ranks by, and the clock by which unused prefetches age.
  // `pass` is the time in passes.
  void CountUse(uint32_t frame, double pass = 0);
  // busy or idle -> free.
  void Free(uint32_t frame);

 private:
  static constexpr uint32_t kZoneCount = 3;
  enum class State : uint8_t { kFree, kBusy, kIdle };

  struct Frame {
    uint32_t run_index;
    uint32_t slot;
    uint32_t previous;  // in the idle list; kNone at its ends
    uint32_t next;      // in the idle or the free list
    uint64_t made_idle_at_use;
    double rank;             // of an idle frame that was used
    uint32_t heap_position;  // likewise
    uint16_t frame_class;
    uint8_t zone_rank;  // zones in the order of eviction
    State state;
    bool unused_prefetch;
  };
  struct List {
    uint32_t oldest = kNone;
    uint32_t newest = kNone;
  };
  // Frames by rank, as a heap that knows where each frame is.
  using RankedFrames = std::vector<uint32_t>;
  struct Class {
    uint32_t frame_count = 0;
    uint32_t free_head = kNone;
    uint64_t use_count = 0;  // pins of frames of this class
    // By zone, in the order of eviction.
    std::array<RankedFrames, kZoneCount> used;  // the first to leave at the front
    std::array<List, kZoneCount> spared;        // prefetched, not used since; by age
  };

  std::optional<uint32_t> Victim(const Class& owner, bool for_prefetch) const;
  double RankOf(uint32_t frame) const { return frames_[frame].rank; }
  void PushRanked(RankedFrames& heap, uint32_t frame);
  void EraseRanked(RankedFrames& heap, uint32_t frame);
  void SiftUp(RankedFrames& heap, uint32_t position);
  void SiftDown(RankedFrames& heap, uint32_t position);
  void Place(RankedFrames& heap, uint32_t position, uint32_t frame);
  RankedFrames& UsedOf(const Frame& frame);
  List& SparedOf(const Frame& frame);
  bool IsExpired(const Class& owner, uint32_t frame) const;
  void Unlink(uint32_t frame);

  std::vector<Frame> frames_;
  std::vector<Class> classes_;
  CachePolicy policy_;
  UseRanks ranks_;           // by run; of no use to lru
  uint64_t idle_count_ = 0;  // frames ever made idle: what lru ranks by
};

}  // namespace gguf_shard
