#include "atlas/vulkan_device_atlas.h"

#include <algorithm>
#include <string>
#include <system_error>
#include <utility>

#include "core/check.h"
#include "core/clock.h"

namespace gguf_shard {

VulkanDeviceAtlas::VulkanDeviceAtlas(const CoreMap& map, PageSource& source, gpu::Device& device,
                                     Parts parts)
    : map_(map),
      source_(source),
      device_(device),
      parts_(std::move(parts)),
      residency_(map_, parts_.runs, parts_.schedule, parts_.plan, parts_.options),
      wave_of_run_(parts_.runs.run_count(), 0),
      held_count_(parts_.runs.run_count(), 0),
      run_of_slot_(parts_.plan.pool_pages, kNoSlot),
      shown_slot_(parts_.runs.run_count(), kNoSlot),
      is_pending_(parts_.runs.run_count(), false) {
  if (parts_.plan.streamed_pages == 0) {
    settled_ = std::make_unique<std::atomic<bool>[]>(parts_.runs.run_count());
  }
}

Result<void> VulkanDeviceAtlas::Start() {
  const VulkanLoader::Parts loader_parts{
      &map_, &parts_.runs, &source_, &device_, &parts_.slots, &parts_.host_tier, parts_.slot_hook};
  GS_ASSIGN(auto loader, VulkanLoader::Create(loader_parts, parts_.transfer,
                                              parts_.options.io_threads, parts_.lane_pages));
  loader_.emplace(std::move(loader));
  totals_.device_bytes =
      parts_.slots.counted_bytes() + parts_.table.counted_bytes() + loader_->counted_bytes();
  MostDriverBytes();
  try {
    reaper_ = std::thread([this] { ReapLoop(); });
    for (uint32_t lane = 0; lane < parts_.options.io_threads; ++lane) {
      loading_.emplace_back([this, lane] { LoadLoop(lane); });
    }
  } catch (const std::system_error& error) {
    if (loading_.empty()) {
      return Fail(ErrorCode::kOutOfMemory,
                  std::string("cannot start a thread that loads pages: ") + error.what());
    }
  }
  return {};
}

VulkanDeviceAtlas::~VulkanDeviceAtlas() {
  EndWave({});
  {
    const std::lock_guard lock(mutex_);
    GS_CHECK(waiters_.empty());
    stopping_ = true;
  }
  work_.notify_all();
  for (std::thread& thread : loading_) thread.join();
  {
    const std::lock_guard lock(mutex_);
    reaper_stopping_ = true;
  }
  endings_changed_.notify_all();
  if (reaper_.joinable()) reaper_.join();
}

// Waves -----------------------------------------------------------------------------------------

Result<bool> VulkanDeviceAtlas::Need(uint32_t run_index) {
  GS_CHECK(run_index < parts_.runs.run_count());
  if (settled_ != nullptr && settled_[run_index].load(std::memory_order_acquire)) {
    settled_hit_pages_.fetch_add(parts_.runs.run(run_index).page_count, std::memory_order_relaxed);
    return true;
  }
  Lock lock(mutex_);
  if (lost_) return Fail(*lost_);
  if (wave_of_run_[run_index] == wave_.number) return true;
  if (WaveIsFullFor(run_index)) return false;
  GS_TRY(PinAndWait(run_index, lock));
  Show(run_index);
  AddToWave(run_index);
  WakeLoader();
  return true;
}

bool VulkanDeviceAtlas::WaveIsFullFor(uint32_t run_index) const {
  if (has_own_slot(run_index) || wave_.pins.empty()) return false;
  const ResidencyPlan& plan = parts_.plan;
  const bool is_scheduled = parts_.schedule.PositionOf(run_index) != Schedule::kNoPosition;
  const uint64_t pages = wave_.ring_pages + parts_.runs.run(run_index).page_count;
  if (is_scheduled && plan.ring_pages > 0 && pages > plan.ring_pages / 2) return true;
  return !residency_.IsResident(run_index) && wave_.universal_frames >= parts_.wave_frames;
}

void VulkanDeviceAtlas::AddToWave(uint32_t run_index) {
  wave_of_run_[run_index] = wave_.number;
  if (has_own_slot(run_index)) {
    if (settled_ != nullptr) settled_[run_index].store(true, std::memory_order_release);
    return;
  }
  wave_.pins.push_back(run_index);
  const uint32_t slot = residency_.slot(run_index);
  if (slot < parts_.plan.ring_first_slot + parts_.plan.ring_pages) {
    wave_.ring_pages += parts_.runs.run(run_index).page_count;
  } else if (IsUniversalFrame(slot)) {
    ++wave_.universal_frames;
  }
}

bool VulkanDeviceAtlas::IsUniversalFrame(uint32_t slot) const {
  const FrameClass& universal = parts_.plan.frame_classes.front();
  return slot >= universal.first_slot && slot - universal.first_slot < universal.page_count();
}

Result<void> VulkanDeviceAtlas::PinAndWait(uint32_t run_index, Lock& lock) {
  if (residency_.Pin(run_index)) return {};
  Waiter waiter{run_index, false, std::nullopt, {}};
  waiters_.push_back(&waiter);
  WakeLoader();
  const auto start = std::chrono::steady_clock::now();
  waiter.ended.wait(lock, [&] { return waiter.done; });
  ++totals_.pages.stalls;
  totals_.pages.stall_seconds += SecondsSince(start);
  if (waiter.error) return Fail(std::move(*waiter.error));
  return {};
}

void VulkanDeviceAtlas::EndWave(gpu::TimelinePoint point) {
  {
    const std::lock_guard lock(mutex_);
    ++totals_.waves;
    std::vector<uint32_t> pins = std::move(wave_.pins);
    wave_ = Wave{wave_.number + 1, {}, 0, 0};
    if (pins.empty()) return;
    if (point.queue == nullptr || point.value == 0) {
      UnpinAll(pins);
      return;
    }
    endings_.push_back({point, std::move(pins), {}, std::nullopt});
  }
  endings_changed_.notify_all();
}

void VulkanDeviceAtlas::UnpinAll(std::span<const uint32_t> runs) {
  for (const uint32_t run_index : runs) {
    if (!has_own_slot(run_index)) residency_.Unpin(run_index);
  }
  work_.notify_all();
}

void VulkanDeviceAtlas::ReapLoop() {
  Lock lock(mutex_);
  while (true) {
    endings_changed_.wait(lock, [&] { return reaper_stopping_ || !endings_.empty(); });
    if (endings_.empty()) return;
    Ending ending = std::move(endings_.front());
    endings_.pop_front();
    lock.unlock();
    const auto waited = ending.point.queue->Wait(ending.point.value);
    lock.lock();
    if (!waited && !lost_) lost_ = waited.error();
    Reap(ending);
  }
}

void VulkanDeviceAtlas::Reap(Ending& ending) {
  if (ending.swap_begun_at) swaps_.Add(SecondsSince(*ending.swap_begun_at));
  UnpinAll(ending.pins);
  ReleaseHeld(ending.held);
}

// The table -------------------------------------------------------------------------------------

void VulkanDeviceAtlas::Show(uint32_t run_index) {
  const uint32_t slot = residency_.slot(run_index);
  if (shown_slot_[run_index] != slot) SetShown(run_index, slot);
}

void VulkanDeviceAtlas::SetShown(uint32_t run_index, uint32_t slot) {
  shown_slot_[run_index] = slot;
  if (is_pending_[run_index]) return;
  is_pending_[run_index] = true;
  pending_.push_back(run_index);
}

// The job's slots belong to its runs from now on; what lay there is not shown any more.
void VulkanDeviceAtlas::HideWhatLay(const LoadJob& job) {
  uint32_t slot = job.first_slot;
  for (const uint32_t run_index : job.runs) {
    const uint32_t end = slot + parts_.runs.run(run_index).page_count;
    for (; slot < end; ++slot) {
      const uint32_t before = std::exchange(run_of_slot_[slot], run_index);
      if (before == kNoSlot || shown_slot_[before] == kNoSlot) continue;
      const uint32_t shown = shown_slot_[before];
      if (slot < shown || slot - shown >= parts_.runs.run(before).page_count) continue;
      SetShown(before, kNoSlot);
    }
  }
}

std::vector<VulkanPageTable::Change> VulkanDeviceAtlas::TakePending() {
  std::vector<VulkanPageTable::Change> changes;
  for (const uint32_t run_index : pending_) {
    is_pending_[run_index] = false;
    const Run& run = parts_.runs.run(run_index);
    const auto first_page = static_cast<uint32_t>(run.first_page);
    if (shown_slot_[run_index] == kNoSlot) {
      changes.push_back({first_page, run.page_count, 0});
      continue;
    }
    for (const auto& piece : parts_.slots.Pieces(shown_slot_[run_index], run.page_count)) {
      changes.push_back({first_page + piece.first_slot - shown_slot_[run_index], piece.slot_count,
                         piece.address});
    }
  }
  pending_.clear();
  return changes;
}

Result<gpu::TimelinePoint> VulkanDeviceAtlas::Flush() {
  std::vector<gpu::TimelinePoint> wait_for;
  std::vector<VulkanPageTable::Change> changes;
  uint64_t run_count = 0;
  {
    const std::lock_guard lock(mutex_);
    if (lost_) return Fail(*lost_);
    if (pending_.empty()) return device_.compute_queue().Latest();
    run_count = pending_.size();
    changes = TakePending();
    wait_for = loaded_points_;
  }
  const auto start = std::chrono::steady_clock::now();
  auto point = parts_.table.Apply(changes, wait_for);
  const std::lock_guard lock(mutex_);
  if (!point) {
    lost_ = point.error();  // the table is not what it should be
    return point;
  }
  ++totals_.swaps;
  totals_.swapped_runs += run_count;
  endings_.push_back({*point, {}, {}, start});
  endings_changed_.notify_all();
  return point;
}

Result<gpu::TimelinePoint> VulkanDeviceAtlas::Publish() {
  const std::lock_guard lock(publish_mutex_);
  return Flush();
}

// Loading ---------------------------------------------------------------------------------------

void VulkanDeviceAtlas::LoadLoop(uint32_t lane) {
  LoadJob job;
  DeviceLoadOutcome outcome;
  Lock lock(mutex_);
  while (true) {
    while (!stopping_ && !residency_.NextJob(job)) work_.wait(lock);
    if (stopping_) return;
    HideWhatLay(job);
    if (residency_.MayHaveJob()) WakeLoader();
    lock.unlock();
    loader_->Load(job, lane, outcome);
    lock.lock();
    End(job, outcome);
  }
}

void VulkanDeviceAtlas::End(const LoadJob& job, DeviceLoadOutcome& outcome) {
  totals_.pages.reads += outcome.host.reads;
  totals_.pages.bytes_read += outcome.host.bytes_read;
  totals_.pages.retried_pages += outcome.host.retried_pages;
  totals_.pages.read_seconds += outcome.host.read_seconds;
  totals_.host_hit_pages += outcome.host_hit_pages;
  totals_.disk_pages += outcome.disk_pages;
  totals_.bytes_to_device += outcome.bytes_to_device;
  totals_.checked_pages += outcome.checked_pages;
  totals_.check_seconds += outcome.check_seconds;
  if (outcome.point.queue != nullptr) {
    const auto known =
        std::find_if(loaded_points_.begin(), loaded_points_.end(),
                     [&](const auto& point) { return point.queue == outcome.point.queue; });
    if (known == loaded_points_.end()) {
      loaded_points_.push_back(outcome.point);
    } else {
      known->value = std::max(known->value, outcome.point.value);
    }
  }
  for (size_t i = 0; i < job.runs.size(); ++i) {
    if (outcome.host.errors[i]) {
      residency_.Failed(job.runs[i]);
    } else {
      residency_.Loaded(job.runs[i]);
    }
    EndWaits(job.runs[i], outcome.host.errors[i]);
  }
}

void VulkanDeviceAtlas::EndWaits(uint32_t run_index, const std::optional<Error>& error) {
  std::erase_if(waiters_, [&](Waiter* waiter) {
    if (waiter->run_index != run_index) return false;
    waiter->error = error;
    waiter->done = true;
    waiter->ended.notify_one();
    return true;
  });
}

void VulkanDeviceAtlas::Prefetch(std::span<const uint32_t> run_indices) {
  const std::lock_guard lock(mutex_);
  for (const uint32_t run_index : run_indices) {
    GS_CHECK(run_index < parts_.runs.run_count());
    residency_.Prefetch(run_index);
  }
  work_.notify_all();
}

// Held runs -------------------------------------------------------------------------------------

Result<void> VulkanDeviceAtlas::Hold(std::span<const uint32_t> run_indices) {
  Lock lock(mutex_);
  const auto counted = static_cast<uint32_t>(std::count_if(
      run_indices.begin(), run_indices.end(), [&](uint32_t run) { return !has_own_slot(run); }));
  if (counted > parts_.held_runs || held_runs_ > parts_.held_runs - counted) {
    return Fail(Error(ErrorCode::kBudgetTooSmall, "more runs would be held than there is room for")
                    .Expected(parts_.held_runs)
                    .Found(uint64_t{held_runs_} + counted));
  }
  held_runs_ += counted;
  for (const uint32_t run_index : run_indices) residency_.Prefetch(run_index);
  work_.notify_all();
  for (size_t i = 0; i < run_indices.size(); ++i) {
    auto pinned = lost_ ? Result<void>(Fail(*lost_)) : PinAndWait(run_indices[i], lock);
    if (pinned) continue;
    UnpinAll(run_indices.first(i));
    held_runs_ -= counted;
    return pinned;
  }
  for (const uint32_t run_index : run_indices) ++held_count_[run_index];
  return {};
}

void VulkanDeviceAtlas::Release(std::span<const uint32_t> run_indices) {
  const std::lock_guard lock(mutex_);
  ReleaseHeld(run_indices);
}

void VulkanDeviceAtlas::ReleaseAfter(std::span<const uint32_t> run_indices,
                                     gpu::TimelinePoint point) {
  {
    const std::lock_guard lock(mutex_);
    endings_.push_back({point, {}, {run_indices.begin(), run_indices.end()}, std::nullopt});
  }
  endings_changed_.notify_all();
}

void VulkanDeviceAtlas::ReleaseHeld(std::span<const uint32_t> run_indices) {
  for (const uint32_t run_index : run_indices) {
    GS_CHECK(held_count_[run_index] > 0);
    --held_count_[run_index];
    if (!has_own_slot(run_index)) --held_runs_;
  }
  UnpinAll(run_indices);
}

Result<gpu::TimelinePoint> VulkanDeviceAtlas::ShowHeld(std::span<const uint32_t> run_indices,
                                                       std::span<const uint32_t> hidden) {
  const std::lock_guard publish_lock(publish_mutex_);
  {
    const std::lock_guard lock(mutex_);
    for (const uint32_t run_index : hidden) {
      if (shown_slot_[run_index] != kNoSlot) SetShown(run_index, kNoSlot);
    }
    for (const uint32_t run_index : run_indices) {
      GS_CHECK(held_count_[run_index] > 0);
      Show(run_index);
    }
  }
  return Flush();
}

uint64_t VulkanDeviceAtlas::AddressOf(uint32_t run_index, uint32_t page_of_run) const {
  const std::lock_guard lock(mutex_);
  GS_CHECK(held_count_[run_index] > 0 && page_of_run < parts_.runs.run(run_index).page_count);
  return parts_.slots.address(residency_.slot(run_index) + page_of_run);
}

uint64_t VulkanDeviceAtlas::MostDriverBytes() const {
  const uint64_t now = device_.driver_reported_bytes();
  uint64_t most = most_driver_bytes_.load();
  while (most < now && !most_driver_bytes_.compare_exchange_weak(most, now)) {
  }
  return std::max(most, now);
}

VulkanAtlasStats VulkanDeviceAtlas::Stats() const {
  const std::lock_guard lock(mutex_);
  const ResidencyCounts& counts = residency_.counts();
  const ResidencyPlan& plan = parts_.plan;
  VulkanAtlasStats stats = totals_;
  stats.pages.pool_bytes = uint64_t{plan.pool_pages} * kPageBytes;
  stats.pages.peak_pool_bytes = counts.peak_used_pages * kPageBytes;
  stats.pages.pinned_bytes = uint64_t{plan.own_pages} * kPageBytes;
  stats.pages.ring_bytes = uint64_t{plan.ring_pages} * kPageBytes;
  for (const FrameClass& frame_class : plan.frame_classes) {
    stats.pages.cache_bytes += frame_class.page_count() * kPageBytes;
  }
  stats.pages.page_hits = counts.page_hits + settled_hit_pages_.load(std::memory_order_relaxed);
  stats.pages.prefetch_covered_pages = counts.prefetch_covered_pages;
  stats.pages.stalled_pages = counts.stalled_pages;
  stats.pages.evictions = counts.evictions;
  stats.host_cache_bytes = parts_.host_tier.bytes();
  stats.swap_mean_seconds = swaps_.Mean();
  stats.swap_p50_seconds = swaps_.Quantile(0.5);
  stats.swap_p99_seconds = swaps_.Quantile(0.99);
  stats.peak_device_bytes = device_.peak_allocated_bytes();
  stats.driver_reported_bytes = MostDriverBytes();
  stats.transfer = parts_.transfer;
  return stats;
}

}  // namespace gguf_shard
