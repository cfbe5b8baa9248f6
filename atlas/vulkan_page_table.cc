#include "atlas/vulkan_page_table.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "atlas/vulkan_shaders.h"
#include "core/bytes.h"
#include "core/check.h"
#include "core/page.h"

namespace gguf_shard {
namespace {

constexpr uint32_t kPagesPerInitialChange = 1 << 16;

struct PageTablePush {
  uint64_t table;
  uint64_t changes;
  uint64_t guard;
};
static_assert(sizeof(VulkanPageTable::Change) == 16);

uint64_t GuardOffset(uint64_t page_count) { return AlignUp(page_count * 8, kPageBytes); }

// The first change names no pages one by one.
uint64_t MostChanges(uint64_t page_count, uint64_t most_changes) {
  return std::max(most_changes, DivCeil(page_count, kPagesPerInitialChange));
}

}  // namespace

uint64_t VulkanPageTable::BytesFor(uint64_t page_count, uint64_t most_changes) {
  const uint64_t changes = 2 * MostChanges(page_count, most_changes) * sizeof(Change);
  return GuardOffset(page_count) + kPageBytes + AlignUp(changes, kPageBytes);
}

Result<VulkanPageTable> VulkanPageTable::Create(gpu::Device& device, uint64_t page_count,
                                                uint64_t most_changes) {
  gpu::KernelOptions options;
  options.push_constant_bytes = sizeof(PageTablePush);
  GS_ASSIGN(
      auto kernel,
      gpu::Kernel::Create(device, gpu::FindShader(atlas_shaders::All(), "table_update"), options));
  VulkanPageTable table(device, std::move(kernel));
  table.guard_offset_ = GuardOffset(page_count);
  table.most_changes_ = MostChanges(page_count, most_changes);
  GS_ASSIGN(table.memory_, gpu::Buffer::Allocate(device, gpu::MemoryKind::kDevice,
                                                 table.guard_offset_ + kPageBytes));
  GS_ASSIGN(table.changes_, gpu::Buffer::Allocate(device, gpu::MemoryKind::kUpload,
                                                  2 * table.most_changes_ * sizeof(Change)));
  GS_TRY(table.ShowGuardEverywhere(page_count));
  return table;
}

Result<void> VulkanPageTable::ShowGuardEverywhere(uint64_t page_count) {
  gpu::Queue& queue = device_->compute_queue();
  GS_ASSIGN(auto commands, queue.Begin());
  commands.Fill(memory_, guard_offset_, kPageBytes, 0xFFFFFFFF);
  GS_TRY(queue.Submit(std::move(commands)));
  std::vector<Change> changes;
  for (uint64_t page = 0; page < page_count; page += kPagesPerInitialChange) {
    const uint64_t count = std::min<uint64_t>(kPagesPerInitialChange, page_count - page);
    changes.push_back({static_cast<uint32_t>(page), static_cast<uint32_t>(count), 0});
  }
  GS_ASSIGN(const auto point, Apply(changes, {}));
  return queue.Wait(point.value);
}

Result<gpu::TimelinePoint> VulkanPageTable::Apply(std::span<const Change> changes,
                                                  std::span<const gpu::TimelinePoint> wait_for) {
  GS_CHECK(changes.size() <= most_changes_);
  gpu::Queue& queue = device_->compute_queue();
  half_ ^= 1;
  GS_TRY(queue.Wait(half_points_[half_]));
  const uint64_t offset = half_ * most_changes_ * sizeof(Change);
  std::byte* target = changes_.mapped() + offset;
  for (Change change : changes) {
    if (change.address == 0) change.address = guard_address();
    std::memcpy(target, &change, sizeof change);
    target += sizeof change;
  }
  GS_ASSIGN(auto commands, queue.Begin());
  // A grid has at most 65535 groups in the least of devices.
  for (size_t first = 0; first < changes.size(); first += 65535) {
    const PageTablePush push{address(), changes_.address() + offset + first * sizeof(Change),
                             guard_address()};
    const size_t count = std::min<size_t>(65535, changes.size() - first);
    commands.Dispatch(kernel_, push, static_cast<uint32_t>(count));
  }
  GS_ASSIGN(const auto point, queue.Submit(std::move(commands), wait_for));
  half_points_[half_] = point.value;
  return point;
}

}  // namespace gguf_shard
