// Brings the pages of a job from the nearest tier into their slots on a device, and checks every
// tag there: the one way by which a page gets into a device's slot.
//
// Each load uses one lane: a piece of staging memory, and room for the results of the check. A page
// that fails its tag, and every page of a read that fails as a whole, is read once more by itself,
// from the source; what fails then is an error of the run that it belongs to, and of no other.
//
// Thread-safety: Load from many threads, over disjoint slots and different lanes.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "atlas/host_tier.h"
#include "atlas/page_loader.h"
#include "atlas/page_pool.h"
#include "atlas/page_source.h"
#include "atlas/residency.h"
#include "atlas/run_table.h"
#include "atlas/vulkan_atlas.h"
#include "atlas/vulkan_slots.h"
#include "atlas/vulkan_tag_check.h"
#include "core/map.h"
#include "gpu/buffer.h"
#include "gpu/device.h"

namespace gguf_shard {

struct DeviceLoadOutcome {
  LoadOutcome host;  // errors by run, reads of the source, retried pages
  uint64_t host_hit_pages = 0;
  uint64_t disk_pages = 0;
  uint64_t bytes_to_device = 0;
  uint64_t checked_pages = 0;
  double check_seconds = 0;
  gpu::TimelinePoint point;  // of the last submission, which has passed
};

class VulkanLoader {
 public:
  struct Parts {  // all must outlive the loader
    const CoreMap* map;
    const RunTable* runs;
    PageSource* source;
    gpu::Device* device;
    const VulkanSlots* slots;
    HostTier* host_tier;
    SlotHook* slot_hook;
  };
  static Result<VulkanLoader> Create(const Parts& parts, TransferMethod transfer,
                                     uint32_t lane_count, uint32_t lane_pages);
  // What Create allocates on the device at most.
  static uint64_t BytesFor(TransferMethod transfer, uint32_t lane_count, uint32_t lane_pages);

  void Load(const LoadJob& job, uint32_t lane, DeviceLoadOutcome& outcome) const;

  TransferMethod transfer() const { return transfer_; }
  uint64_t counted_bytes() const;

 private:
  // Where a run's pages are, or are to be read to, before they are in their slots.
  struct Spot {
    std::byte* memory = nullptr;  // null for kDirect
    bool in_host_tier = false;
    uint64_t host_slot = 0;  // there
    bool needs_read = true;
  };
  struct Task;

  VulkanLoader(const Parts& parts, TransferMethod transfer, uint32_t lane_pages,
               VulkanTagCheck check, PagePool staging_memory)
      : parts_(parts),
        transfer_(transfer),
        lane_pages_(lane_pages),
        check_(std::move(check)),
        staging_memory_(std::move(staging_memory)) {}
  Result<void> MakeStaging(uint32_t lane_count);
  Result<void> ImportHostTier();

  void FindSpots(Task& task) const;
  std::byte* SlotOf(const Task& task, uint32_t page_of_job) const;
  std::byte* PlaceOf(const Task& task, uint32_t page_of_job) const;
  void ReadSpots(Task& task) const;
  void ReadSpan(Task& task, uint32_t first, uint32_t end) const;
  uint32_t ReadableFrom(const Task& task, uint32_t first) const;
  Result<void> Read(Task& task, uint64_t first_page, std::span<std::byte> target) const;
  Result<void> CallHook(Task& task, uint32_t first, uint32_t count,
                        std::span<const gpu::TimelinePoint> copied) const;
  Result<void> CopyAndCheck(Task& task, uint32_t first, uint32_t count) const;
  void RecordCopies(Task& task, gpu::Commands& commands, uint32_t first, uint32_t count) const;
  Result<gpu::TimelinePoint> Submit(Task& task, uint32_t first, uint32_t count) const;
  Result<void> JudgeRun(Task& task, size_t index) const;
  Result<void> LoadPageAgain(Task& task, uint32_t page_of_job) const;
  TagResult ResultOf(const Task& task, uint32_t page_of_job) const;
  Error Describe(Error error, uint32_t run_index, uint64_t page_index) const;

  Parts parts_;
  TransferMethod transfer_;
  uint32_t lane_pages_;
  VulkanTagCheck check_;
  PagePool staging_memory_;             // imported, or read into before an upload
  std::vector<gpu::Buffer> staging_;    // by lane; empty for kDirect
  std::vector<gpu::Buffer> host_tier_;  // imported, in chunks of host_chunk_pages_
  uint64_t host_chunk_pages_ = 0;
  gpu::Buffer results_;
};

}  // namespace gguf_shard
