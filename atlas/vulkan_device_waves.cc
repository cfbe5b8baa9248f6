// Waves: what they need, and how their pins come back.
#include <utility>

#include "atlas/vulkan_device_atlas.h"
#include "core/check.h"
#include "core/clock.h"

namespace gguf_shard {

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

}  // namespace gguf_shard
