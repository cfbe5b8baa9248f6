// What the page table shows.
#include <utility>

#include "atlas/vulkan_device_atlas.h"
#include "core/check.h"

namespace gguf_shard {

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

}  // namespace gguf_shard
