#include "atlas/vulkan_slots.h"

#include <algorithm>

#include "core/bytes.h"
#include "core/page.h"

namespace gguf_shard {
namespace {

// A slab has a page to spare: its first slot is aligned in the host's address space too, and the
// driver may round up.
constexpr uint64_t kSparePages = 1;
constexpr uint64_t kMostSlabBytes = uint64_t{1} << 30;

uint64_t SlotsPerSlab(const gpu::Device& device) {
  const gpu::DeviceInfo& info = device.info();
  const uint64_t bytes =
      std::min({info.max_allocation_bytes, info.max_buffer_bytes, kMostSlabBytes});
  return std::max<uint64_t>(1, bytes / kPageBytes - kSparePages);
}

}  // namespace

uint64_t VulkanSlots::SlotsIn(const gpu::Device& device, uint64_t bytes) {
  const uint64_t slab_pages = SlotsPerSlab(device) + kSparePages;
  const uint64_t pages = bytes / kPageBytes;
  const uint64_t rest = pages % slab_pages;
  return pages / slab_pages * SlotsPerSlab(device) + (rest > kSparePages ? rest - kSparePages : 0);
}

uint64_t VulkanSlots::BytesFor(const gpu::Device& device, uint64_t slots) {
  return (slots + DivCeil(slots, SlotsPerSlab(device)) * kSparePages) * kPageBytes;
}

Result<VulkanSlots> VulkanSlots::Allocate(gpu::Device& device, uint64_t most_slots,
                                          uint64_t most_bytes) {
  VulkanSlots slots;
  slots.slots_per_slab_ = SlotsPerSlab(device);
  slots.slot_count_ = std::min(most_slots, SlotsIn(device, most_bytes));
  for (uint64_t left = slots.slot_count_; left > 0;) {
    const uint64_t count = std::min(left, slots.slots_per_slab_);
    GS_ASSIGN(auto slab, gpu::Buffer::Allocate(device, gpu::MemoryKind::kDevice,
                                               (count + kSparePages) * kPageBytes));
    // On the host's side where it maps the slab, for reads straight into slots; else the device's.
    const uint64_t base =
        slab.mapped() != nullptr ? reinterpret_cast<uintptr_t>(slab.mapped()) : slab.address();
    slots.first_offsets_.push_back(AlignUp(base, kPageBytes) - base);
    slots.slabs_.push_back(std::move(slab));
    left -= count;
  }
  return slots;
}

uint64_t VulkanSlots::counted_bytes() const {
  uint64_t bytes = 0;
  for (const gpu::Buffer& slab : slabs_) bytes += slab.counted_bytes();
  return bytes;
}

VulkanSlots::Piece VulkanSlots::PieceAt(uint32_t slot) const {
  const uint64_t slab = slot / slots_per_slab_;
  const uint64_t offset = first_offsets_[slab] + slot % slots_per_slab_ * kPageBytes;
  const gpu::Buffer& buffer = slabs_[slab];
  std::byte* mapped = buffer.mapped() == nullptr ? nullptr : buffer.mapped() + offset;
  return {slot, 1, &buffer, offset, buffer.address() + offset, mapped};
}

uint64_t VulkanSlots::address(uint32_t slot) const { return PieceAt(slot).address; }

std::vector<VulkanSlots::Piece> VulkanSlots::Pieces(uint32_t first_slot,
                                                    uint32_t slot_count) const {
  std::vector<Piece> pieces;
  while (slot_count > 0) {
    Piece piece = PieceAt(first_slot);
    const uint64_t room = slots_per_slab_ - first_slot % slots_per_slab_;
    piece.slot_count = static_cast<uint32_t>(std::min<uint64_t>(slot_count, room));
    pieces.push_back(piece);
    first_slot += piece.slot_count;
    slot_count -= piece.slot_count;
  }
  return pieces;
}

}  // namespace gguf_shard
