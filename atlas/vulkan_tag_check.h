// The check of pages' tags on a device (shaders/tag_check.comp): the same tag as core/page.h's,
// computed from the bytes in the slots. Immutable; thread-safe.
#pragma once

#include <cstdint>

#include "core/error.h"
#include "core/page.h"
#include "gpu/buffer.h"
#include "gpu/device.h"
#include "gpu/kernel.h"
#include "gpu/queue.h"

namespace gguf_shard {

// What the device found in a page.
struct TagResult {
  uint32_t computed_crc;
  uint32_t stored_crc;
  uint32_t magic;
  uint32_t unused;
  bool is_good() const { return computed_crc == stored_crc && magic == kPageMagic; }
};

class VulkanTagCheck {
 public:
  static Result<VulkanTagCheck> Create(gpu::Device& device, const CoreId& core_id);
  static constexpr uint64_t kTableBytes = (1024 + 64) * 4;

  // Records the check of `page_count` pages that lie one after another at `pages_address`; page i
  // is the core's page first_page + i. Results go to results_address, 16-byte aligned.
  void Record(gpu::Commands& commands, uint64_t pages_address, uint64_t first_page,
              uint32_t page_count, uint64_t results_address) const;

  uint64_t counted_bytes() const { return tables_.counted_bytes(); }

 private:
  VulkanTagCheck(gpu::Kernel kernel, gpu::Buffer tables, uint32_t id_register,
                 uint32_t pages_per_group)
      : kernel_(std::move(kernel)),
        tables_(std::move(tables)),
        id_register_(id_register),
        pages_per_group_(pages_per_group) {}

  gpu::Kernel kernel_;
  gpu::Buffer tables_;
  uint32_t id_register_;
  uint32_t pages_per_group_;
};

}  // namespace gguf_shard
