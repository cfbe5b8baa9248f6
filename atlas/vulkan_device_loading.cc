// The threads that load.
#include <algorithm>

#include "atlas/vulkan_device_atlas.h"
#include "core/check.h"

namespace gguf_shard {

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

}  // namespace gguf_shard
