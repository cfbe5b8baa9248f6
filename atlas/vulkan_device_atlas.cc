#include "atlas/vulkan_device_atlas.h"

#include <string>
#include <system_error>
#include <utility>

#include "core/check.h"

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

}  // namespace gguf_shard
