// The cyclic order in which every pass (one token, or one batch of a prompt) uses the scheduled
// runs.
//
//   position   a run's place in one pass, 0 .. size() - 1
//   turn       a use in time, without end: pass * size() + position
//   shard      one slice of a tensor: its positions are adjacent
//
// Immutable; thread-safe.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "atlas/run_table.h"
#include "core/error.h"
#include "core/map.h"

namespace gguf_shard {

class Schedule {
 public:
  static constexpr uint32_t kNoPosition = std::numeric_limits<uint32_t>::max();

  // kInvalidArgument when a tensor is not in the map, or is named twice.
  static Result<Schedule> Create(const CoreMap& map, const RunTable& runs,
                                 std::span<const uint32_t> tensors);

  uint32_t size() const { return static_cast<uint32_t>(run_of_position_.size()); }
  std::span<const uint32_t> runs() const { return run_of_position_; }
  uint32_t RunAt(uint64_t turn) const { return run_of_position_[turn % size()]; }
  // kNoPosition for a run that is used on demand.
  uint32_t PositionOf(uint32_t run_index) const { return position_of_run_[run_index]; }
  // The first turn of a position that is not before `earliest`.
  uint64_t TurnOf(uint32_t position, uint64_t earliest) const;

  // Shards counted on through the passes, as turns are.
  uint64_t ShardOf(uint64_t turn) const;
  // The turn after the last of the `distance` shards that follow the shard of `turn`; `turn` itself
  // for a distance of 0: nothing is read ahead.
  uint64_t AheadEnd(uint64_t turn, uint32_t distance) const;

 private:
  Schedule() = default;
  void Append(RunSpan span);

  std::vector<uint32_t> run_of_position_;
  std::vector<uint32_t> position_of_run_;
  std::vector<uint32_t> shard_of_position_;
  std::vector<uint32_t> first_position_of_shard_;
};

}  // namespace gguf_shard
