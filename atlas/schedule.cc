#include "atlas/schedule.h"

#include "core/check.h"

namespace gguf_shard {

Result<Schedule> Schedule::Create(const CoreMap& map, const RunTable& runs,
                                  std::span<const uint32_t> tensors) {
  Schedule schedule;
  schedule.position_of_run_.assign(runs.run_count(), kNoPosition);
  std::vector<bool> named(map.tensors.size(), false);
  for (const uint32_t tensor : tensors) {
    if (tensor >= map.tensors.size()) {
      return Fail(Error(ErrorCode::kInvalidArgument, "the schedule names a tensor out of range")
                      .Expected(map.tensors.size())
                      .Found(tensor));
    }
    if (named[tensor]) {
      return Fail(Error(ErrorCode::kInvalidArgument, "the schedule names a tensor twice")
                      .Tensor(map.tensors[tensor].name));
    }
    named[tensor] = true;
    for (uint32_t slice = 0; slice < map.tensors[tensor].layout.slice_count; ++slice) {
      schedule.Append(runs.RunsOf(tensor, slice));
    }
  }
  return schedule;
}

void Schedule::Append(RunSpan span) {
  if (span.run_count == 0) return;
  const auto shard = static_cast<uint32_t>(first_position_of_shard_.size());
  first_position_of_shard_.push_back(size());
  for (uint32_t i = 0; i < span.run_count; ++i) {
    position_of_run_[span.first_run + i] = size();
    run_of_position_.push_back(span.first_run + i);
    shard_of_position_.push_back(shard);
  }
}

uint64_t Schedule::TurnOf(uint32_t position, uint64_t earliest) const {
  GS_CHECK(position < size());
  const uint64_t turn = earliest - earliest % size() + position;
  return turn < earliest ? turn + size() : turn;
}

uint64_t Schedule::ShardOf(uint64_t turn) const {
  return turn / size() * first_position_of_shard_.size() + shard_of_position_[turn % size()];
}

uint64_t Schedule::AheadEnd(uint64_t turn, uint32_t distance) const {
  if (distance == 0) return turn;
  const uint64_t end_shard = ShardOf(turn) + 1 + distance;
  const uint64_t shard_count = first_position_of_shard_.size();
  return end_shard / shard_count * size() + first_position_of_shard_[end_shard % shard_count];
}

}  // namespace gguf_shard
