// Prefetched runs: what Residency reads because a caller announced it.
#include "atlas/residency.h"

namespace gguf_shard {
namespace {

// An announced run is needed soon: its neighbours join it only up to a length that the disk needs
// anyway, so that several threads share what was announced together.
constexpr uint32_t kMaxWishPages = 64;  // 256 KiB

}  // namespace

uint32_t Residency::WishQueueOf(uint32_t run_index) const {
  return has_own_slot(run_index) ? wishes_.queue_count() - 1 : plan_.frame_class[run_index];
}

void Residency::Prefetch(uint32_t run_index) {
  RunState& state = states_[run_index];
  if (state.presence != Presence::kAbsent || state.wished) return;
  state.wished = true;
  wishes_.Add(WishQueueOf(run_index), run_index);
}

// Whether a wish is still open: it was neither pinned nor loaded meanwhile.
bool Residency::IsOpen(uint32_t run_index) const {
  return states_[run_index].wished && states_[run_index].presence == Presence::kAbsent;
}

// Whether the run could be placed now; a closed wish counts as well, for it can be dropped.
bool Residency::CanPlaceWish(uint32_t run_index) const {
  return !IsOpen(run_index) || has_own_slot(run_index) ||
         frames_.Next(plan_.frame_class[run_index], /*for_prefetch=*/true).has_value();
}

bool Residency::CanPlaceAnyWish() const {
  for (uint32_t queue = 0; queue < wishes_.queue_count(); ++queue) {
    const auto wish = wishes_.Oldest(queue);
    if (wish && CanPlaceWish(wish->run_index)) return true;
  }
  return false;
}

// The oldest wish that can be placed, with those behind it that can be read in one go.
bool Residency::WishJob(LoadJob& job) {
  std::optional<uint32_t> oldest_queue;
  uint64_t made_at = 0;
  for (uint32_t queue = 0; queue < wishes_.queue_count(); ++queue) {
    DropClosedWishes(queue);
    const auto wish = wishes_.Oldest(queue);
    if (!wish || !CanPlaceWish(wish->run_index)) continue;
    if (oldest_queue && wish->made_at > made_at) continue;
    oldest_queue = queue;
    made_at = wish->made_at;
  }
  if (!oldest_queue) return false;
  while (AddWish(*oldest_queue, job)) DropClosedWishes(*oldest_queue);
  return true;
}

void Residency::DropClosedWishes(uint32_t queue) {
  for (auto wish = wishes_.Oldest(queue); wish && !IsOpen(wish->run_index);
       wish = wishes_.Oldest(queue)) {
    wishes_.DropOldest(queue);
  }
}

// Adds the queue's oldest wish to the job if it continues it in the core and in the pool.
bool Residency::AddWish(uint32_t queue, LoadJob& job) {
  const auto wish = wishes_.Oldest(queue);
  if (!wish || !Continues(job, wish->run_index)) return false;
  const uint32_t run_index = wish->run_index;
  const uint32_t page_count = runs_.run(run_index).page_count;
  if (job.page_count > 0 && job.page_count + page_count > kMaxWishPages) return false;
  const auto continues_at = [&](uint32_t slot) {
    return job.page_count == 0 || job.first_slot + job.page_count == slot;
  };
  if (has_own_slot(run_index)) {
    if (!continues_at(plan_.own_slot[run_index])) return false;
    AddToJob(run_index, Place::kOwnSlot, plan_.own_slot[run_index], job);
  } else {
    const auto frame = frames_.Next(plan_.frame_class[run_index], /*for_prefetch=*/true);
    if (!frame || !continues_at(frames_.slot(*frame))) return false;
    TakeFrame(*frame, run_index, /*freed_after_use=*/false, job);
  }
  states_[run_index].wished = false;
  wishes_.DropOldest(queue);
  return true;
}

}  // namespace gguf_shard
