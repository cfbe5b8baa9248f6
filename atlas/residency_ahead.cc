// Read-ahead: what Residency reads before anyone waits for it.
#include <algorithm>

#include "atlas/residency.h"
#include "core/check.h"

namespace gguf_shard {

// The turn up to which read-ahead may go now. Half a pass is far enough for any model, and keeps
// the runs in use now apart from their next use.
uint64_t Residency::AheadLimit() const {
  if (schedule_.size() == 0) return 0;
  const uint64_t frontier = tracker_.frontier();
  return std::min(schedule_.AheadEnd(frontier, prefetch_distance_),
                  frontier + (schedule_.size() + 1) / 2);
}

bool Residency::IsNextAhead(uint32_t run_index) const {
  const uint32_t position = schedule_.PositionOf(run_index);
  if (position == Schedule::kNoPosition || !states_[run_index].in_turn) return false;
  const uint64_t turn = schedule_.TurnOf(position, cursor_);
  return turn < AheadLimit() && turn - cursor_ <= demand_reach_;
}

// Whether nothing but room in the ring can keep the run from being read ahead.
bool Residency::WaitsForRing(uint32_t run_index) const {
  return states_[run_index].presence == Presence::kAbsent && !has_own_slot(run_index) &&
         plan_.ring_pages > 0;
}

bool Residency::MayHaveJob() const {
  if (!demands_.empty() || CanPlaceAnyWish()) return true;
  const uint64_t turn = std::max(cursor_, tracker_.frontier());
  if (turn >= AheadLimit()) return false;
  const uint32_t run_index = schedule_.RunAt(turn);
  if (!WaitsForRing(run_index) || CanDropOldestStreamed()) return true;
  const StreamRing::Room room = ring_.RoomFor(runs_.run(run_index).page_count);
  if (room.page_count == 0) return false;
  return !room.bounded_by_tail || room.page_count >= JoinablePages(turn, AheadLimit());
}

// `forced`: a Pin waits for a run near the cursor, so any room is taken and nothing is postponed.
bool Residency::ReadAheadJob(LoadJob& job, bool forced) {
  if (schedule_.size() == 0 || prefetch_distance_ == 0) return false;
  if (!forced) cursor_ = std::max(cursor_, tracker_.frontier());
  const uint64_t limit = AheadLimit();
  if (!SkipPresent(limit)) return false;
  return has_own_slot(schedule_.RunAt(cursor_)) ? AddOwn(job, limit)
                                                : AddStreamed(job, limit, forced);
}

// Moves the cursor to the next run that is to be read; false when there is none before the limit.
bool Residency::SkipPresent(uint64_t limit) {
  for (; cursor_ < limit; ++cursor_) {
    const uint32_t run_index = schedule_.RunAt(cursor_);
    const RunState& state = states_[run_index];
    if (state.presence == Presence::kAbsent) {
      if (has_own_slot(run_index) || plan_.ring_pages > 0) return true;
      continue;  // without a ring, streamed runs are read when a Pin waits for them
    }
    if (state.place != Place::kRing) continue;
    // Left over from a turn that was skipped, it serves this one.
    StreamRing::Entry& entry = ring_.entry(state.holder);
    entry.turn = std::max(entry.turn, cursor_);
  }
  return false;
}

// Whether a run may be read in one go with the job so far (nothing, or runs just before it).
bool Residency::Continues(const LoadJob& job, uint32_t run_index) const {
  const Run& run = runs_.run(run_index);
  if (states_[run_index].presence != Presence::kAbsent) return false;
  return job.page_count == 0 || job.first_page + job.page_count == run.first_page;
}

bool Residency::AddOwn(LoadJob& job, uint64_t limit) {
  for (; cursor_ < limit; ++cursor_) {
    const uint32_t run_index = schedule_.RunAt(cursor_);
    const uint32_t slot = plan_.own_slot[run_index];
    if (slot == kNoSlot || !Continues(job, run_index)) break;
    if (!job.runs.empty() && (job.page_count + runs_.run(run_index).page_count > kMaxReadPages ||
                              job.first_slot + job.page_count != slot)) {
      break;
    }
    AddToJob(run_index, Place::kOwnSlot, slot, job);
  }
  return !job.runs.empty();
}

// Pages from a turn on that one read into the ring could bring.
uint32_t Residency::JoinablePages(uint64_t turn, uint64_t limit) const {
  LoadJob extent;
  for (; turn < limit; ++turn) {
    const uint32_t run_index = schedule_.RunAt(turn);
    const Run& run = runs_.run(run_index);
    if (has_own_slot(run_index) || !Continues(extent, run_index)) break;
    if (extent.page_count > 0 && extent.page_count + run.page_count > plan_.read_pages) break;
    if (extent.page_count == 0) extent.first_page = run.first_page;
    extent.page_count += run.page_count;
  }
  return extent.page_count;
}

bool Residency::CanDropOldestStreamed() const {
  const StreamRing::Entry* oldest = ring_.oldest();
  if (oldest == nullptr || oldest->in_use || !tracker_.IsSkipped(oldest->turn)) return false;
  const RunState& state = states_[oldest->run_index];
  return state.presence == Presence::kResident && state.pins == 0;
}

// Frees skipped runs at the ring's tail until there is as much room as is wanted.
StreamRing::Room Residency::MakeRingRoom(uint32_t first_pages, uint32_t wanted_pages) {
  StreamRing::Room room = ring_.RoomFor(first_pages);
  while (room.page_count < wanted_pages && CanDropOldestStreamed()) {
    Free(ring_.oldest()->run_index);
    room = ring_.RoomFor(first_pages);
  }
  return room;
}

bool Residency::AddStreamed(LoadJob& job, uint64_t limit, bool forced) {
  const uint32_t wanted_pages = JoinablePages(cursor_, limit);
  const uint32_t first_pages = runs_.run(schedule_.RunAt(cursor_)).page_count;
  const StreamRing::Room room = MakeRingRoom(first_pages, wanted_pages);
  const bool short_of_room = room.page_count < wanted_pages && room.bounded_by_tail;
  if (room.page_count == 0 || (short_of_room && !forced)) return false;

  const uint32_t most_pages = std::min(wanted_pages, room.page_count);
  for (; job.page_count < most_pages; ++cursor_) {
    const uint32_t run_index = schedule_.RunAt(cursor_);
    const uint32_t page_count = runs_.run(run_index).page_count;
    if (job.page_count + page_count > most_pages) break;
    const auto ticket = ring_.Allocate(run_index, page_count, cursor_);
    GS_CHECK(ticket.has_value());
    states_[run_index].holder = *ticket;
    AddToJob(run_index, Place::kRing, plan_.ring_first_slot + ring_.entry(*ticket).slot, job);
  }
  return true;
}

}  // namespace gguf_shard
