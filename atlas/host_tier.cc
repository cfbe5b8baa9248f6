#include "atlas/host_tier.h"

#include <algorithm>
#include <utility>

#include "core/check.h"

namespace gguf_shard {
namespace {

// Of the tier, for runs that are used on demand, when streamed runs want all of it.
constexpr uint64_t kFrameShare = 8;

struct Division {
  std::vector<uint32_t> own_slot;
  uint64_t own_pages = 0;
};

// Streamed runs by an even spread: every k-th page of them, in the order of the schedule.
Division SpreadPlaces(const RunTable& runs, const Schedule& schedule, const ResidencyPlan& plan,
                      uint64_t budget_pages) {
  Division division;
  division.own_slot.assign(runs.run_count(), kNoSlot);
  if (plan.streamed_pages == 0 || budget_pages == 0) return division;
  const double share =
      std::min(1.0, static_cast<double>(budget_pages) / static_cast<double>(plan.streamed_pages));
  double due_pages = 0;
  std::vector<bool> chosen(runs.run_count(), false);
  uint64_t chosen_pages = 0;
  for (const uint32_t run_index : schedule.runs()) {
    if (plan.own_slot[run_index] != kNoSlot) continue;
    const uint32_t page_count = runs.run(run_index).page_count;
    due_pages += share * page_count;
    if (due_pages + 0.5 < page_count || chosen_pages + page_count > budget_pages) continue;
    due_pages -= page_count;
    chosen_pages += page_count;
    chosen[run_index] = true;
  }
  // In the order of the core: what is read in one go lies together.
  for (uint32_t i = 0; i < runs.run_count(); ++i) {
    if (!chosen[i]) continue;
    division.own_slot[i] = static_cast<uint32_t>(division.own_pages);
    division.own_pages += runs.run(i).page_count;
  }
  return division;
}

uint64_t OnDemandPages(const RunTable& runs, const Schedule& schedule, const ResidencyPlan& plan) {
  uint64_t pages = 0;
  for (uint32_t i = 0; i < runs.run_count(); ++i) {
    const bool on_demand = schedule.PositionOf(i) == Schedule::kNoPosition;
    if (on_demand && plan.own_slot[i] == kNoSlot) pages += runs.run(i).page_count;
  }
  return pages;
}

}  // namespace

HostTier::HostTier(HostTier&& other) noexcept
    : runs_(other.runs_),
      pool_(std::move(other.pool_)),
      own_slot_(std::move(other.own_slot_)),
      own_holds_(std::move(other.own_holds_)),
      may_have_frame_(std::move(other.may_have_frame_)),
      frame_of_run_(std::move(other.frame_of_run_)),
      frames_(std::move(other.frames_)),
      by_age_(std::move(other.by_age_)),
      first_frame_slot_(other.first_frame_slot_),
      frame_pages_(other.frame_pages_) {}

Result<HostTier> HostTier::Create(const RunTable& runs, const Schedule& schedule,
                                  const ResidencyPlan& plan, uint64_t bytes) {
  const uint64_t on_demand = OnDemandPages(runs, schedule, plan);
  const uint64_t useful = plan.everything_fits() ? 0 : plan.streamed_pages + on_demand;
  const uint64_t pages = std::min(bytes / kPageBytes, useful);
  const uint64_t kept_for_frames = std::min(on_demand, pages / kFrameShare);
  Division division = SpreadPlaces(runs, schedule, plan, pages - kept_for_frames);

  GS_ASSIGN(auto pool, PagePool::Allocate(pages));
  HostTier tier(runs, std::move(pool));
  tier.own_slot_ = std::move(division.own_slot);
  tier.own_holds_.assign(runs.run_count(), false);
  tier.may_have_frame_.assign(runs.run_count(), false);
  tier.frame_of_run_.assign(runs.run_count(), kNone);
  tier.first_frame_slot_ = division.own_pages;
  for (uint32_t i = 0; i < runs.run_count(); ++i) {
    const bool on_demand_run = schedule.PositionOf(i) == Schedule::kNoPosition;
    if (!on_demand_run || plan.everything_fits() || plan.own_slot[i] != kNoSlot) continue;
    tier.may_have_frame_[i] = true;
    tier.frame_pages_ = std::max(tier.frame_pages_, runs.run(i).page_count);
  }
  if (on_demand > 0) tier.frames_.resize((pages - division.own_pages) / tier.frame_pages_);
  for (uint32_t i = 0; i < tier.frames_.size(); ++i) {
    tier.frames_[i].age = tier.by_age_.insert(tier.by_age_.end(), i);
  }
  return tier;
}

std::optional<HostTier::Place> HostTier::Acquire(uint32_t run_index) {
  const std::lock_guard lock(mutex_);
  if (own_slot_[run_index] != kNoSlot) {
    return Place{own_slot_[run_index], own_holds_[run_index]};
  }
  if (frames_.empty() || !may_have_frame_[run_index]) return std::nullopt;
  return AcquireFrame(run_index);
}

std::optional<HostTier::Place> HostTier::AcquireFrame(uint32_t run_index) {
  uint32_t frame = frame_of_run_[run_index];
  const bool holds_run = frame != kNone;
  if (!holds_run) {
    const auto oldest = std::find_if(by_age_.begin(), by_age_.end(),
                                     [&](uint32_t i) { return !frames_[i].acquired; });
    if (oldest == by_age_.end()) return std::nullopt;
    frame = *oldest;
    if (frames_[frame].run_index != kNone) frame_of_run_[frames_[frame].run_index] = kNone;
    frames_[frame].run_index = run_index;
    frame_of_run_[run_index] = frame;
  }
  frames_[frame].acquired = true;
  by_age_.splice(by_age_.end(), by_age_, frames_[frame].age);
  return Place{SlotOf(frame), holds_run};
}

void HostTier::Release(uint32_t run_index, bool holds_run) {
  const std::lock_guard lock(mutex_);
  if (own_slot_[run_index] != kNoSlot) {
    own_holds_[run_index] = holds_run;
    return;
  }
  const uint32_t frame = frame_of_run_[run_index];
  GS_CHECK(frame != kNone && frames_[frame].acquired);
  frames_[frame].acquired = false;
  if (holds_run) return;
  frames_[frame].run_index = kNone;
  frame_of_run_[run_index] = kNone;
  by_age_.splice(by_age_.begin(), by_age_, frames_[frame].age);
}

}  // namespace gguf_shard
