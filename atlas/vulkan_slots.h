// The page slots on a device, in slabs: as many buffers as the device's limits ask for. Slots are
// numbered through; a span of slots may lie in several slabs. Immutable once allocated;
// thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/error.h"
#include "gpu/buffer.h"
#include "gpu/device.h"

namespace gguf_shard {

class VulkanSlots {
 public:
  // Adjacent slots in one slab.
  struct Piece {
    uint32_t first_slot;
    uint32_t slot_count;
    const gpu::Buffer* buffer;
    uint64_t offset;    // of the first slot, in the buffer
    uint64_t address;   // on the device
    std::byte* mapped;  // null when the host cannot see it; else 4096-byte aligned
  };

  // At most `most_bytes`, counted as the device counts; as many slots as that has room for, and no
  // more than `most_slots`.
  static Result<VulkanSlots> Allocate(gpu::Device& device, uint64_t most_slots,
                                      uint64_t most_bytes);
  // Slots that `bytes` have room for, and bytes that `slots` need at most.
  static uint64_t SlotsIn(const gpu::Device& device, uint64_t bytes);
  static uint64_t BytesFor(const gpu::Device& device, uint64_t slots);

  uint64_t slot_count() const { return slot_count_; }
  uint64_t counted_bytes() const;
  uint64_t address(uint32_t slot) const;
  std::vector<Piece> Pieces(uint32_t first_slot, uint32_t slot_count) const;

 private:
  Piece PieceAt(uint32_t slot) const;

  std::vector<gpu::Buffer> slabs_;
  std::vector<uint64_t> first_offsets_;  // of a slab's first slot
  uint64_t slots_per_slab_ = 1;
  uint64_t slot_count_ = 0;
};

}  // namespace gguf_shard
