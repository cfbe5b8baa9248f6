// Where the caller is in the cyclic schedule, judged from the runs it pins.
//
// The frontier is the turn expected next. Workers take runs by a counter, so their pins come nearly
// in order: a pin a little ahead of the frontier moves it, a pin a little behind is late. Anything
// farther away is elsewhere: a gathered row of a tied embedding, or a caller that left a pass and
// goes on at another place. It jumps the frontier when it is near the start of a pass (where passes
// begin), or when kFollowedPins of them in a row follow the schedule.
//
// The tracker only steers read-ahead and what is worth keeping: a wrong guess costs a second read,
// never a wrong page or a wait without end. Turns only grow: going back to the start of a pass is
// skipping what is left of it. Not thread-safe.
#pragma once

#include <cstdint>

#include "atlas/schedule.h"

namespace gguf_shard {

class PassTracker {
 public:
  static constexpr uint32_t kFollowedPins = 4;
  // Shards that a slow worker may be behind the frontier before its run counts as skipped. Callers
  // wait for all workers between dependent matrices; at most a handful (query, key, value) are
  // worked on at once.
  static constexpr uint32_t kLateShards = 4;

  enum class Order { kInOrder, kLate, kElsewhere };

  // `schedule` must outlive the tracker.
  PassTracker(const Schedule& schedule, uint32_t concurrent_pins);

  // Takes a pin of a scheduled position into account.
  Order Note(uint32_t position);

  uint64_t frontier() const { return frontier_; }
  // Whether the use of this turn was skipped: the frontier has passed it for good.
  bool IsSkipped(uint64_t turn) const;

 private:
  void JumpTo(uint64_t turn);
  bool FollowsElsewhere(uint32_t position);

  const Schedule& schedule_;
  uint32_t concurrent_pins_;
  uint32_t ahead_reach_;  // positions
  uint32_t late_reach_;
  uint64_t frontier_ = 0;
  uint64_t jumped_to_ = 0;       // turns before it were skipped by a jump
  uint32_t next_elsewhere_ = 0;  // the position that would follow the last pin elsewhere
  uint32_t followed_pins_ = 0;
};

}  // namespace gguf_shard
