#include <algorithm>

#include "atlas/vulkan_device_atlas.h"

namespace gguf_shard {

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
