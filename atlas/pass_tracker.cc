#include "atlas/pass_tracker.h"

#include <algorithm>

namespace gguf_shard {

PassTracker::PassTracker(const Schedule& schedule, uint32_t concurrent_pins)
    : schedule_(schedule),
      concurrent_pins_(concurrent_pins),
      ahead_reach_(std::min(2 * concurrent_pins + 2, schedule.size() / 2)),
      late_reach_(std::min(4 * concurrent_pins + 16, schedule.size() / 2)) {}

PassTracker::Order PassTracker::Note(uint32_t position) {
  const uint64_t turn = schedule_.TurnOf(position, frontier_);
  const uint64_t ahead = turn - frontier_;
  if (ahead <= ahead_reach_) {
    frontier_ = turn + 1;
    followed_pins_ = 0;
    return Order::kInOrder;
  }
  if (schedule_.size() - ahead <= late_reach_) return Order::kLate;
  if (position <= concurrent_pins_ || FollowsElsewhere(position)) {
    JumpTo(turn);
    return Order::kInOrder;
  }
  return Order::kElsewhere;
}

bool PassTracker::FollowsElsewhere(uint32_t position) {
  const uint32_t size = schedule_.size();
  const uint32_t step = (position + size - next_elsewhere_) % size;
  followed_pins_ = step <= ahead_reach_ ? followed_pins_ + 1 : 1;
  next_elsewhere_ = (position + 1) % size;
  return followed_pins_ >= kFollowedPins;
}

void PassTracker::JumpTo(uint64_t turn) {
  jumped_to_ = turn;
  frontier_ = turn + 1;
  followed_pins_ = 0;
}

bool PassTracker::IsSkipped(uint64_t turn) const {
  if (turn < jumped_to_) return true;
  return turn + late_reach_ < frontier_ &&
         schedule_.ShardOf(turn) + kLateShards <= schedule_.ShardOf(frontier_);
}

}  // namespace gguf_shard
