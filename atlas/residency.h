// Which runs are where in the pool, and what is read next: the atlas without its threads.
//
// The owner calls Pin and Unpin for its callers, asks NextJob for something to read, reads and
// checks it, and reports each run of the job with Loaded or Failed. A run is
//
//   absent    -> loading (in a job) -> resident -> absent again (freed), or resident for good
//
// and lies, from loading on, in one of three places (atlas/residency_plan.h):
//
//   own slot  loaded once, stays.
//   ring      read ahead in the order of the schedule. Its use begins with an in-order pin; when
//             the last pin of that use dies it is freed. Skipped runs are freed when their room is
//             needed.
//   frame     loaded because a Pin waits for it, or on Prefetch. Kept under the frames' LRU, unless
//             it is a scheduled run in its turn: that is freed after use, so that a pass does not
//             sweep the cache (scan resistance).
//
// Jobs, by urgency: runs that a Pin waits for, oldest first; prefetched runs; read-ahead.
// Read-ahead joins runs that are adjacent in the file and in the pool, goes on over the border
// between passes, and does not take crumbs of room: it waits for a whole read's worth unless a Pin
// waits for it.
//
// Liveness. At most `concurrent_pins` runs are pinned or waited for at once (the callers' duty).
// A waited-for run is loading (its job ends), or it is in the demand list and NextJob can place it:
// in its own slot, at once; or in a universal frame, of which there are at least `concurrent_pins`.
// Every universal frame that cannot be had is pinned or being loaded. Loads end, and then the frame
// is idle or pinned; the pins are at most concurrent_pins - 1, since the waiting Pin is one of the
// callers. So a frame can be had after finitely many jobs, whatever the ring holds, whatever order
// runs are pinned in, and whatever the tracker believes. The demand list is served oldest first, so
// no Pin is passed over for ever.
//
// Not thread-safe: the owner holds a lock.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "atlas/atlas.h"
#include "atlas/frame_cache.h"
#include "atlas/pass_tracker.h"
#include "atlas/residency_plan.h"
#include "atlas/run_table.h"
#include "atlas/schedule.h"
#include "atlas/stream_ring.h"
#include "atlas/wish_list.h"
#include "core/map.h"

namespace gguf_shard {

// One read: runs that are adjacent in the core and in the pool.
struct LoadJob {
  uint64_t first_page = 0;  // in the core
  uint32_t first_slot = 0;
  uint32_t page_count = 0;
  std::vector<uint32_t> runs;
};

struct ResidencyCounts {
  uint64_t page_hits = 0;  // as in AtlasStats
  uint64_t prefetch_covered_pages = 0;
  uint64_t stalled_pages = 0;
  uint64_t evictions = 0;
  uint64_t used_pages = 0;  // slots of runs that are loading or resident
  uint64_t peak_used_pages = 0;
};

class Residency {
 public:
  // All arguments must outlive it.
  Residency(const CoreMap& map, const RunTable& runs, const Schedule& schedule,
            const ResidencyPlan& plan, const AtlasOptions& options);

  // True: the run is resident and has one more pin. False: the caller must wait; Loaded gives it
  // its pin, Failed ends its wait.
  bool Pin(uint32_t run_index);
  void Unpin(uint32_t run_index);
  // Asks for a run that will be pinned soon. It is loaded when there is room; forgotten when it is
  // pinned before that.
  void Prefetch(uint32_t run_index);

  // Fills `job` with the next read; its runs are loading from then on. False when there is none
  // now.
  bool NextJob(LoadJob& job);
  // Whether it is worth calling NextJob: true whenever a Pin or a Prefetch waits to be served.
  bool MayHaveJob() const;
  // The end of each run of a job. Loaded means that every page was checked.
  void Loaded(uint32_t run_index);
  void Failed(uint32_t run_index);

  uint32_t slot(uint32_t run_index) const { return states_[run_index].slot; }
  bool IsResident(uint32_t run_index) const {
    return states_[run_index].presence == Presence::kResident;
  }
  // Resident in a slot of its own: from now on it needs neither Pin nor Unpin.
  bool IsSettled(uint32_t run_index) const;
  const ResidencyCounts& counts() const { return counts_; }

 private:
  enum class Presence : uint8_t { kAbsent, kLoading, kResident };
  enum class Place : uint8_t { kNone, kOwnSlot, kRing, kFrame };

  struct RunState {
    uint64_t holder = 0;  // the ring's ticket, or the frame
    uint32_t slot = 0;
    uint32_t pins = 0;  // not counted for runs with a slot of their own
    uint32_t waiters = 0;
    Presence presence = Presence::kAbsent;
    Place place = Place::kNone;
    bool prefetched = false;       // loaded before anyone waited for it, and not used since
    bool in_turn = false;          // the last pin came in the order of the schedule
    bool freed_after_use = false;  // in a frame, but not kept under LRU
    bool demanded = false;         // in demands_
    bool wished = false;           // announced, and neither pinned nor loaded since
  };

  bool NoteUse(uint32_t run_index);
  void BeginUse(RunState& state);
  double PassTime() const;
  void Free(uint32_t run_index);
  void ReleasePlace(RunState& state);

  bool DemandJob(LoadJob& job);
  bool PlaceDemanded(uint32_t run_index, LoadJob& job);
  bool AddFramed(uint32_t run_index, LoadJob& job);
  void TakeFrame(uint32_t frame, uint32_t run_index, bool freed_after_use, LoadJob& job);
  void AddToJob(uint32_t run_index, Place place, uint32_t slot, LoadJob& job);

  // residency_wishes.cc
  uint32_t WishQueueOf(uint32_t run_index) const;
  bool IsOpen(uint32_t run_index) const;
  bool CanPlaceWish(uint32_t run_index) const;
  bool CanPlaceAnyWish() const;
  bool WishJob(LoadJob& job);
  void DropClosedWishes(uint32_t queue);
  bool AddWish(uint32_t queue, LoadJob& job);

  // residency_ahead.cc
  bool has_own_slot(uint32_t run_index) const { return plan_.own_slot[run_index] != kNoSlot; }
  bool IsNextAhead(uint32_t run_index) const;
  bool WaitsForRing(uint32_t run_index) const;
  uint64_t AheadLimit() const;
  bool ReadAheadJob(LoadJob& job, bool forced);
  bool SkipPresent(uint64_t limit);
  bool AddOwn(LoadJob& job, uint64_t limit);
  bool AddStreamed(LoadJob& job, uint64_t limit, bool forced);
  uint32_t JoinablePages(uint64_t turn, uint64_t limit) const;
  bool Continues(const LoadJob& job, uint32_t run_index) const;
  bool CanDropOldestStreamed() const;
  StreamRing::Room MakeRingRoom(uint32_t first_pages, uint32_t wanted_pages);

  const CoreMap& map_;
  const RunTable& runs_;
  const Schedule& schedule_;
  const ResidencyPlan& plan_;
  uint32_t prefetch_distance_;
  uint32_t demand_reach_;  // positions from the cursor within which a demand is read-ahead's next

  std::vector<RunState> states_;
  PassTracker tracker_;
  StreamRing ring_;
  FrameCache frames_;
  std::vector<uint32_t> demands_;  // runs with waiters, oldest first; some no longer absent
  WishList wishes_;
  uint64_t cursor_ = 0;  // the turn that read-ahead looks at next
  uint32_t wanted_room_pages_ =
      0;  // what read-ahead lacked when it last gave up; 0 when it did not
  ResidencyCounts counts_;
};

}  // namespace gguf_shard
