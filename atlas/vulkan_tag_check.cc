#include "atlas/vulkan_tag_check.h"

#include <array>
#include <cstring>
#include <utility>

#include "atlas/vulkan_shaders.h"
#include "core/bytes.h"
#include "core/crc32.h"

namespace gguf_shard {
namespace {

constexpr uint32_t kPolynomial = 0xEDB88320;  // zlib's; bit 31 is the coefficient of x^0
constexpr uint32_t kLanes = 64;

uint32_t TimesX(uint32_t value) { return (value >> 1) ^ ((value & 1) * kPolynomial); }

uint32_t TimesXTo(uint32_t value, uint32_t exponent) {
  for (uint32_t i = 0; i < exponent; ++i) value = TimesX(value);
  return value;
}

// As shaders/tag_check.comp describes it.
std::array<uint32_t, 1024 + kLanes> MakeTables() {
  std::array<uint32_t, 1024 + kLanes> tables{};
  for (uint32_t i = 0; i < 1024; ++i) {
    tables[i] = TimesXTo((i % 256) << (i / 256 * 8), 32 * kLanes);
  }
  for (uint32_t lane = 0; lane < kLanes; ++lane) {
    tables[1024 + lane] = TimesXTo(0x80000000, 32 * (kLanes - lane));
  }
  return tables;
}

struct TagCheckPush {
  uint64_t pages;
  uint64_t results;
  uint64_t tables;
  uint32_t id_register;
  uint32_t first_page_low;
  uint32_t first_page_high;
  uint32_t page_count;
};

Result<gpu::Buffer> UploadTables(gpu::Device& device) {
  const auto tables = MakeTables();
  static_assert(sizeof tables == VulkanTagCheck::kTableBytes);
  GS_ASSIGN(auto staging, gpu::Buffer::Allocate(device, gpu::MemoryKind::kUpload, sizeof tables));
  GS_ASSIGN(auto buffer, gpu::Buffer::Allocate(device, gpu::MemoryKind::kDevice, sizeof tables));
  std::memcpy(staging.mapped(), tables.data(), sizeof tables);
  gpu::Queue& queue = device.compute_queue();
  GS_ASSIGN(auto commands, queue.Begin());
  commands.Copy(staging, 0, buffer, 0, sizeof tables);
  GS_ASSIGN(const auto point, queue.Submit(std::move(commands)));
  GS_TRY(queue.Wait(point.value));
  return buffer;
}

}  // namespace

Result<VulkanTagCheck> VulkanTagCheck::Create(gpu::Device& device, const CoreId& core_id) {
  gpu::KernelOptions options;
  options.push_constant_bytes = sizeof(TagCheckPush);
  GS_ASSIGN(auto kernel, gpu::Kernel::Create(
                             device, gpu::FindShader(atlas_shaders::All(), "tag_check"), options));
  GS_ASSIGN(auto tables, UploadTables(device));
  // zlib's functions invert the register at both ends.
  const uint32_t id_register = ~Crc32(0, std::span(core_id).first(8));
  // Each workgroup reads the tables once: on a processor that is worth sharing.
  const bool is_processor = device.info().type == gpu::DeviceType::kCpu;
  return VulkanTagCheck(std::move(kernel), std::move(tables), id_register, is_processor ? 16 : 2);
}

void VulkanTagCheck::Record(gpu::Commands& commands, uint64_t pages_address, uint64_t first_page,
                            uint32_t page_count, uint64_t results_address) const {
  const TagCheckPush push{pages_address,
                          results_address,
                          tables_.address(),
                          id_register_,
                          static_cast<uint32_t>(first_page),
                          static_cast<uint32_t>(first_page >> 32),
                          page_count};
  commands.Dispatch(kernel_, push, static_cast<uint32_t>(DivCeil(page_count, pages_per_group_)));
}

}  // namespace gguf_shard
