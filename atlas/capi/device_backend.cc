#include <utility>
#include <vector>

#include "atlas/capi/backend.h"
#include "atlas/vulkan_atlas.h"
#include "atlas/vulkan_foreign.h"
#include "gpu/device.h"

namespace gguf_shard {
namespace {

class DeviceBackend final : public AtlasBackend {
 public:
  DeviceBackend(std::unique_ptr<gpu::Device> device, std::unique_ptr<VulkanAtlas> atlas)
      : device_(std::move(device)), atlas_(std::move(atlas)) {}

  const RunTable& run_table() const override { return atlas_->run_table(); }
  void Prefetch(std::span<const uint32_t> runs) override { atlas_->Prefetch(runs); }
  Result<void> Hold(std::span<const uint32_t> runs) override { return atlas_->Hold(runs); }
  void Release(std::span<const uint32_t> runs) override { atlas_->Release(runs); }

  Result<void> Swap(std::span<const uint32_t> runs, std::span<const uint32_t> before,
                    const atlas_timeline* signal) override {
    GS_ASSIGN(auto point, atlas_->ShowHeld(runs, before));
    if (signal != nullptr) {
      GS_ASSIGN(point,
                SignalForeignSemaphore(device_->compute_queue(), signal->semaphore, signal->value));
      atlas_->ReleaseAfter(before, point);
      return {};
    }
    GS_TRY(device_->compute_queue().Wait(point.value));
    atlas_->Release(before);
    return {};
  }

  atlas_page PageOf(uint32_t run_index, uint32_t page_of_run) const override {
    atlas_page page{};
    page.device_address = atlas_->AddressOf(run_index, page_of_run);
    return page;
  }
  Result<uint64_t> page_table_address() const override { return atlas_->page_table_address(); }

  void Fill(atlas_statistics& statistics) const override {
    const VulkanAtlasStats stats = atlas_->Stats();
    statistics.memory_bytes = stats.device_bytes;
    statistics.peak_memory_bytes = stats.peak_device_bytes;
    statistics.resident_hit_pages = stats.pages.page_hits;
    statistics.host_hit_pages = stats.host_hit_pages;
    statistics.disk_pages = stats.disk_pages;
    statistics.prefetched_pages = stats.pages.prefetch_covered_pages;
    statistics.stalled_pages = stats.pages.stalled_pages;
    statistics.bytes_read = stats.pages.bytes_read;
    statistics.bytes_to_device = stats.bytes_to_device;
    statistics.checked_pages = stats.checked_pages;
    statistics.retried_pages = stats.pages.retried_pages;
    statistics.swaps = stats.swaps;
    statistics.stall_seconds = stats.pages.stall_seconds;
    statistics.check_seconds = stats.check_seconds;
    statistics.swap_mean_seconds = stats.swap_mean_seconds;
    statistics.swap_p50_seconds = stats.swap_p50_seconds;
    statistics.swap_p99_seconds = stats.swap_p99_seconds;
  }

 private:
  std::unique_ptr<gpu::Device> device_;
  std::unique_ptr<VulkanAtlas> atlas_;
};

Result<std::unique_ptr<gpu::Device>> OpenDevice(const atlas_options& options) {
  if (options.vulkan == nullptr) {
    gpu::DeviceOptions device_options;
    device_options.index = options.device;
    device_options.memory_limit_bytes = options.memory_bytes;
    return gpu::Device::Open(device_options);
  }
  const atlas_vulkan& given = *options.vulkan;
  ForeignDevice foreign;
  foreign.get_instance_proc_addr = given.get_instance_proc_addr;
  foreign.instance = given.instance;
  foreign.physical_device = given.physical_device;
  foreign.device = given.device;
  foreign.compute_queue = given.queue;
  foreign.compute_family = given.queue_family;
  foreign.transfer_queue = given.transfer_queue;
  foreign.transfer_family = given.transfer_queue_family;
  if (given.enabled_extensions != nullptr) {
    foreign.enabled_extensions = {given.enabled_extensions, given.enabled_extension_count};
  }
  foreign.lock_queues = given.lock_queues;
  foreign.unlock_queues = given.unlock_queues;
  foreign.lock_context = given.lock_context;
  return AdoptForeignDevice(foreign, options.memory_bytes);
}

}  // namespace

Result<std::unique_ptr<AtlasBackend>> MakeDeviceBackend(const CoreMap& map, PageSource& source,
                                                        const atlas_options& options) {
  GS_ASSIGN(auto device, OpenDevice(options));
  VulkanAtlasOptions settings;
  settings.memory_bytes = options.memory_bytes;
  settings.host_cache_bytes = options.host_cache_bytes;
  if (options.io_threads > 0) settings.io_threads = options.io_threads;
  settings.runs_per_wave = 1;
  settings.held_runs = VulkanAtlasOptions::kAsManyAsFit;
  GS_ASSIGN(auto atlas, VulkanAtlas::Open(map, source, *device, {}, settings));
  return std::make_unique<DeviceBackend>(std::move(device), std::move(atlas));
}

}  // namespace gguf_shard
