// The page table on a device: where each page of a core lies, and how that changes. Pages that lie
// nowhere are shown at the guard page, whose bytes are all 0xFF.
//
// A change is one submission on the compute queue (shaders/table_update.comp); what was submitted
// there before still sees the old table, what comes after sees all of the change. One thread at a
// time.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "core/error.h"
#include "gpu/buffer.h"
#include "gpu/device.h"
#include "gpu/kernel.h"
#include "gpu/queue.h"

namespace gguf_shard {

class VulkanPageTable {
 public:
  // Pages that lie one after another from now on; all at the guard page when `address` is 0.
  struct Change {
    uint32_t first_page;
    uint32_t page_count;
    uint64_t address;
  };

  // Shows `page_count` pages, all at the guard page, and takes up to `most_changes` at a time.
  static Result<VulkanPageTable> Create(gpu::Device& device, uint64_t page_count,
                                        uint64_t most_changes);
  static uint64_t BytesFor(uint64_t page_count, uint64_t most_changes);

  uint64_t address() const { return memory_.address(); }
  uint64_t guard_address() const { return memory_.address() + guard_offset_; }
  uint64_t counted_bytes() const { return memory_.counted_bytes() + changes_.counted_bytes(); }

  // Submits the changes after `wait_for`. No page may be named twice.
  Result<gpu::TimelinePoint> Apply(std::span<const Change> changes,
                                   std::span<const gpu::TimelinePoint> wait_for);

 private:
  VulkanPageTable(gpu::Device& device, gpu::Kernel kernel)
      : device_(&device), kernel_(std::move(kernel)) {}
  Result<void> ShowGuardEverywhere(uint64_t page_count);

  gpu::Device* device_;
  gpu::Kernel kernel_;
  gpu::Buffer memory_;   // the table, then the guard page
  gpu::Buffer changes_;  // two halves, used in turn
  uint64_t guard_offset_ = 0;
  uint64_t most_changes_ = 0;
  uint32_t half_ = 0;
  std::array<uint64_t, 2> half_points_{};  // of the compute queue, at which a half is free again
};

}  // namespace gguf_shard
