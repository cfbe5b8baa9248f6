#include "atlas/residency.h"

#include <algorithm>

#include "core/check.h"

namespace gguf_shard {
Residency::Residency(const CoreMap& map, const RunTable& runs, const Schedule& schedule,
                     const ResidencyPlan& plan, const AtlasOptions& options)
    : map_(map),
      runs_(runs),
      schedule_(schedule),
      plan_(plan),
      prefetch_distance_(options.prefetch_distance),
      demand_reach_(2 * options.concurrent_pins + 2),
      states_(runs.run_count()),
      tracker_(schedule, options.concurrent_pins),
      ring_(plan.ring_pages),
      frames_(plan.frame_classes, options.cache_policy, runs.run_count()),
      wishes_(static_cast<uint32_t>(plan.frame_classes.size()) + 1) {
  demands_.reserve(options.concurrent_pins);
}

// Pins ------------------------------------------------------------------------------------------

bool Residency::Pin(uint32_t run_index) {
  RunState& state = states_[run_index];
  state.in_turn = NoteUse(run_index);
  state.wished = false;
  if (state.presence != Presence::kResident) {
    ++state.waiters;
    if (state.presence == Presence::kAbsent && !state.demanded) {
      state.demanded = true;
      demands_.push_back(run_index);
    }
    return false;
  }
  const uint32_t page_count = runs_.run(run_index).page_count;
  (state.prefetched ? counts_.prefetch_covered_pages : counts_.page_hits) += page_count;
  state.prefetched = false;
  if (state.place == Place::kOwnSlot) return true;
  if (state.place == Place::kFrame && state.pins == 0) {
    frames_.MakeBusy(static_cast<uint32_t>(state.holder));
  }
  ++state.pins;
  BeginUse(state);
  return true;
}

// Whether the pin comes in the order of the schedule.
bool Residency::NoteUse(uint32_t run_index) {
  const uint32_t position = schedule_.PositionOf(run_index);
  if (position == Schedule::kNoPosition) return false;
  const uint64_t frontier = tracker_.frontier();
  const PassTracker::Order order = tracker_.Note(position);
  // After a jump, read-ahead goes on from the run that is pinned now.
  if (tracker_.frontier() > frontier + demand_reach_) {
    cursor_ = std::max(cursor_, tracker_.frontier() - 1);
  }
  return order != PassTracker::Order::kElsewhere;
}

// Passes since the beginning, with what is done of this one.
double Residency::PassTime() const {
  if (schedule_.size() == 0) return 0;
  return static_cast<double>(tracker_.frontier()) / static_cast<double>(schedule_.size());
}

void Residency::BeginUse(RunState& state) {
  if (state.place == Place::kFrame) {
    frames_.CountUse(static_cast<uint32_t>(state.holder), PassTime());
  }
  if (state.place != Place::kRing) return;
  // A worker that was kept from pinning its run while others went on comes too late to be in turn.
  StreamRing::Entry& entry = ring_.entry(state.holder);
  if (state.in_turn || entry.turn < tracker_.frontier()) entry.in_use = true;
}

void Residency::Unpin(uint32_t run_index) {
  RunState& state = states_[run_index];
  if (state.place == Place::kOwnSlot) return;
  GS_CHECK(state.pins > 0);
  if (--state.pins > 0) return;
  const bool used_up =
      state.place == Place::kRing ? ring_.entry(state.holder).in_use : state.freed_after_use;
  if (used_up) {
    Free(run_index);
  } else if (state.place == Place::kFrame) {
    const Zone zone = map_.tensors[runs_.run(run_index).tensor_index].zone;
    frames_.MakeIdle(static_cast<uint32_t>(state.holder), zone, /*unused_prefetch=*/false);
  }
}

// The ends of a load ----------------------------------------------------------------------------

void Residency::Loaded(uint32_t run_index) {
  RunState& state = states_[run_index];
  GS_CHECK(state.presence == Presence::kLoading);
  state.presence = Presence::kResident;
  state.prefetched = state.waiters == 0;
  if (state.waiters > 0) {
    counts_.stalled_pages += uint64_t{state.waiters} * runs_.run(run_index).page_count;
    if (state.place != Place::kOwnSlot) state.pins = state.waiters;
    state.waiters = 0;
    BeginUse(state);
  } else if (state.place == Place::kFrame) {
    const Zone zone = map_.tensors[runs_.run(run_index).tensor_index].zone;
    frames_.MakeIdle(static_cast<uint32_t>(state.holder), zone, /*unused_prefetch=*/true);
  }
}

void Residency::Failed(uint32_t run_index) {
  RunState& state = states_[run_index];
  GS_CHECK(state.presence == Presence::kLoading);
  state.waiters = 0;
  counts_.used_pages -= runs_.run(run_index).page_count;
  ReleasePlace(state);
}

void Residency::Free(uint32_t run_index) {
  RunState& state = states_[run_index];
  GS_CHECK(state.presence == Presence::kResident && state.pins == 0 && state.waiters == 0);
  ++counts_.evictions;
  counts_.used_pages -= runs_.run(run_index).page_count;
  ReleasePlace(state);
}

void Residency::ReleasePlace(RunState& state) {
  if (state.place == Place::kRing) ring_.Free(state.holder);
  if (state.place == Place::kFrame) frames_.Free(static_cast<uint32_t>(state.holder));
  state.place = Place::kNone;
  state.presence = Presence::kAbsent;
  state.prefetched = false;
}

bool Residency::IsSettled(uint32_t run_index) const {
  const RunState& state = states_[run_index];
  return state.place == Place::kOwnSlot && state.presence == Presence::kResident;
}

// Demands ----------------------------------------------------------------------------

bool Residency::NextJob(LoadJob& job) {
  job.runs.clear();
  job.page_count = 0;
  return DemandJob(job) || WishJob(job) || ReadAheadJob(job, /*forced=*/false);
}

bool Residency::DemandJob(LoadJob& job) {
  std::erase_if(demands_, [&](uint32_t run) { return !states_[run].demanded; });
  return std::any_of(demands_.begin(), demands_.end(),
                     [&](uint32_t run) { return PlaceDemanded(run, job); });
}

bool Residency::PlaceDemanded(uint32_t run_index, LoadJob& job) {
  // A run that read-ahead would come to next is read together with those that follow it.
  if (IsNextAhead(run_index) && ReadAheadJob(job, /*forced=*/true)) return true;
  if (has_own_slot(run_index)) {
    AddToJob(run_index, Place::kOwnSlot, plan_.own_slot[run_index], job);
    return true;
  }
  return AddFramed(run_index, job);
}

// Places a run that a Pin waits for in a frame of its own class, or else in a universal one.
bool Residency::AddFramed(uint32_t run_index, LoadJob& job) {
  // A scheduled run in its turn passes through the universal frames and leaves the others alone.
  const bool passes_through = states_[run_index].in_turn;
  uint32_t frame_class = passes_through ? FrameCache::kUniversal : plan_.frame_class[run_index];
  auto frame = frames_.Next(frame_class, /*for_prefetch=*/false);
  if (!frame && frame_class != FrameCache::kUniversal) {
    frame_class = FrameCache::kUniversal;
    frame = frames_.Next(frame_class, /*for_prefetch=*/false);
  }
  if (!frame) return false;
  TakeFrame(*frame, run_index, passes_through, job);
  return true;
}

void Residency::TakeFrame(uint32_t frame, uint32_t run_index, bool freed_after_use, LoadJob& job) {
  if (frames_.IsIdle(frame)) Free(frames_.run_index(frame));
  frames_.Take(frame, run_index);
  states_[run_index].holder = frame;
  states_[run_index].freed_after_use = freed_after_use;
  AddToJob(run_index, Place::kFrame, frames_.slot(frame), job);
}

void Residency::AddToJob(uint32_t run_index, Place place, uint32_t slot, LoadJob& job) {
  const Run& run = runs_.run(run_index);
  RunState& state = states_[run_index];
  GS_CHECK(state.presence == Presence::kAbsent);
  state.presence = Presence::kLoading;
  state.place = place;
  state.slot = slot;
  state.demanded = false;
  if (job.runs.empty()) {
    job.first_page = run.first_page;
    job.first_slot = slot;
  }
  GS_CHECK(job.first_page + job.page_count == run.first_page);
  GS_CHECK(job.first_slot + job.page_count == slot);
  job.runs.push_back(run_index);
  job.page_count += run.page_count;
  counts_.used_pages += run.page_count;
  counts_.peak_used_pages = std::max(counts_.peak_used_pages, counts_.used_pages);
}

}  // namespace gguf_shard
