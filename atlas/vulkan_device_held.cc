// Runs that are held over many waves.
#include <algorithm>

#include "atlas/vulkan_device_atlas.h"
#include "core/check.h"

namespace gguf_shard {

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

}  // namespace gguf_shard
