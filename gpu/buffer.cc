#include "gpu/buffer.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "core/bytes.h"
#include "core/check.h"
#include "gpu/device_faults.h"
#include "gpu/vulkan_error.h"
#include "gpu/vulkan_handles.h"

namespace gguf_shard::gpu {
namespace {

struct KindFlags {
  VkMemoryPropertyFlags needed = 0;
  VkMemoryPropertyFlags liked = 0;
  VkMemoryPropertyFlags disliked = 0;
};

KindFlags FlagsOf(MemoryKind kind, bool unified_memory) {
  constexpr VkMemoryPropertyFlags kLocal = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
  constexpr VkMemoryPropertyFlags kCached = VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
  constexpr VkMemoryPropertyFlags kMapped =
      VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
  switch (kind) {
    case MemoryKind::kDevice:
      return unified_memory ? KindFlags{kLocal | kMapped, 0, 0} : KindFlags{kLocal, 0, kMapped};
    case MemoryKind::kUpload:
      return {kMapped, 0, unified_memory ? 0 : kLocal | kCached};
    case MemoryKind::kReadback:
      return {kMapped, kCached, unified_memory ? 0 : kLocal};
  }
  return {};
}

struct BufferRequest {
  uint64_t bytes;
  const void* imported = nullptr;  // host memory
};

Result<VkBuffer> CreateBuffer(const DeviceHandles& device, const BufferRequest& request) {
  const std::array<uint32_t, 2> families{device.physical.compute_family,
                                         device.physical.transfer_family};
  VkExternalMemoryBufferCreateInfo external{};
  external.sType = VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO;
  external.handleTypes = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT;
  VkBufferCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO;
  if (request.imported != nullptr) info.pNext = &external;
  info.size = request.bytes;
  info.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
               VK_BUFFER_USAGE_TRANSFER_DST_BIT | VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT;
  if (device.has_two_families()) {
    info.sharingMode = VK_SHARING_MODE_CONCURRENT;
    info.queueFamilyIndexCount = 2;
    info.pQueueFamilyIndices = families.data();
  }
  VkBuffer buffer = VK_NULL_HANDLE;
  GS_TRY(CheckVulkan(device.vk.vkCreateBuffer(device.device, &info, nullptr, &buffer),
                     "creating a buffer"));
  return buffer;
}

Result<VkDeviceMemory> AllocateMemory(const DeviceHandles& device, uint64_t bytes, uint32_t type,
                                      const void* imported) {
  VkImportMemoryHostPointerInfoEXT import{};
  import.sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT;
  import.handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT;
  import.pHostPointer = const_cast<void*>(imported);
  VkMemoryAllocateFlagsInfo flags{};
  flags.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO;
  flags.flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT;
  if (imported != nullptr) flags.pNext = &import;
  VkMemoryAllocateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO;
  info.pNext = &flags;
  info.allocationSize = bytes;
  info.memoryTypeIndex = type;
  VkDeviceMemory memory = VK_NULL_HANDLE;
  DeviceFaults* const faults = CurrentDeviceFaults();
  const VkResult result = faults != nullptr && faults->NextAllocationFails()
                              ? VK_ERROR_OUT_OF_DEVICE_MEMORY
                              : device.vk.vkAllocateMemory(device.device, &info, nullptr, &memory);
  GS_TRY(CheckVulkan(result, fmt::format("allocating {} bytes of device memory", bytes)));
  return memory;
}

}  // namespace

// Finds memory for handles_->buffer, counts it, binds it, and takes its addresses. What it has
// made is in the object, for Free.
Result<void> Buffer::Bind(MemoryKind kind, std::span<std::byte> imported) {
  const DeviceHandles& device = device_->handles();
  VkMemoryRequirements needs{};
  device.vk.vkGetBufferMemoryRequirements(device.device, handles_->buffer, &needs);
  uint32_t allowed = needs.memoryTypeBits;
  KindFlags flags = FlagsOf(kind, device_->info().unified_memory);
  if (!imported.empty()) {
    VkMemoryHostPointerPropertiesEXT properties{};
    properties.sType = VK_STRUCTURE_TYPE_MEMORY_HOST_POINTER_PROPERTIES_EXT;
    GS_TRY(CheckVulkan(device.vk.vkGetMemoryHostPointerPropertiesEXT(
                           device.device, VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT,
                           imported.data(), &properties),
                       "importing host memory"));
    allowed &= properties.memoryTypeBits;
    flags = {VK_MEMORY_PROPERTY_HOST_COHERENT_BIT, 0, 0};
  }
  const uint32_t type = device.FindMemoryType(allowed, flags.needed, flags.liked, flags.disliked);
  const uint64_t size = imported.empty() ? needs.size : imported.size();
  if (type == ~uint32_t{0} || needs.size > size) {
    return Fail(ErrorCode::kUnsupported, "the device has no memory of the kind that is needed");
  }
  if (imported.empty()) {
    GS_TRY(device_->CountAllocation(size));
    counted_bytes_ = size;
  }
  GS_ASSIGN(handles_->memory,
            AllocateMemory(device, size, type, imported.empty() ? nullptr : imported.data()));
  GS_TRY(CheckVulkan(
      device.vk.vkBindBufferMemory(device.device, handles_->buffer, handles_->memory, 0),
      "binding memory to a buffer"));
  VkBufferDeviceAddressInfo address{};
  address.sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO;
  address.buffer = handles_->buffer;
  address_ = device.vk.vkGetBufferDeviceAddress(device.device, &address);
  if (!imported.empty()) {
    mapped_ = imported.data();
    return {};
  }
  const VkMemoryPropertyFlags got = device.physical.memory.memoryTypes[type].propertyFlags;
  constexpr VkMemoryPropertyFlags kMapped =
      VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
  const bool maps = kind != MemoryKind::kDevice || device_->info().unified_memory;
  if (!maps || (got & kMapped) != kMapped) return {};
  void* mapped = nullptr;
  GS_TRY(CheckVulkan(
      device.vk.vkMapMemory(device.device, handles_->memory, 0, VK_WHOLE_SIZE, 0, &mapped),
      "mapping device memory"));
  mapped_ = static_cast<std::byte*>(mapped);
  return {};
}

Result<Buffer> Buffer::Allocate(Device& device, MemoryKind kind, uint64_t bytes) {
  GS_CHECK(bytes > 0);
  const uint64_t limit =
      std::min(device.info().max_allocation_bytes, device.info().max_buffer_bytes);
  if (bytes > limit) {
    return Fail(Error(ErrorCode::kTooLarge, "a buffer larger than the device allows")
                    .Expected(fmt::format("at most {} bytes", limit))
                    .Found(fmt::format("{} bytes", bytes)));
  }
  if (bytes > device.memory_limit_bytes()) GS_TRY(device.CountAllocation(bytes));
  Buffer buffer;
  buffer.device_ = &device;
  buffer.handles_ = std::make_unique<BufferHandles>();
  buffer.bytes_ = bytes;
  GS_ASSIGN(buffer.handles_->buffer, CreateBuffer(device.handles(), {AlignUp(bytes, 16)}));
  GS_TRY(buffer.Bind(kind, {}));
  return buffer;
}

Result<Buffer> Buffer::ImportHostMemory(Device& device, std::span<std::byte> memory) {
  GS_CHECK(!memory.empty());
  const uint64_t alignment = device.handles().physical.import_alignment_bytes;
  if (!device.info().imports_host_memory || alignment == 0) {
    return Fail(ErrorCode::kUnsupported, "the device does not import host memory");
  }
  if (reinterpret_cast<uintptr_t>(memory.data()) % alignment != 0 ||
      memory.size() % alignment != 0) {
    return Fail(Error(ErrorCode::kUnsupported, "the device imports aligned host memory only")
                    .Expected(fmt::format("a multiple of {} bytes", alignment)));
  }
  Buffer buffer;
  buffer.device_ = &device;
  buffer.handles_ = std::make_unique<BufferHandles>();
  buffer.bytes_ = memory.size();
  GS_ASSIGN(buffer.handles_->buffer,
            CreateBuffer(device.handles(), {memory.size(), memory.data()}));
  GS_TRY(buffer.Bind(MemoryKind::kUpload, memory));
  return buffer;
}

Buffer::Buffer() = default;

Buffer::Buffer(Buffer&& other) noexcept { *this = std::move(other); }

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this == &other) return *this;
  Free();
  device_ = std::exchange(other.device_, nullptr);
  handles_ = std::move(other.handles_);
  bytes_ = std::exchange(other.bytes_, 0);
  counted_bytes_ = std::exchange(other.counted_bytes_, 0);
  address_ = std::exchange(other.address_, 0);
  mapped_ = std::exchange(other.mapped_, nullptr);
  return *this;
}

Buffer::~Buffer() { Free(); }

void Buffer::Free() {
  if (!handles_) return;
  const DeviceHandles& device = device_->handles();
  if (handles_->buffer != VK_NULL_HANDLE) {
    device.vk.vkDestroyBuffer(device.device, handles_->buffer, nullptr);
  }
  if (handles_->memory != VK_NULL_HANDLE) {
    device.vk.vkFreeMemory(device.device, handles_->memory, nullptr);
  }
  device_->UncountAllocation(counted_bytes_);
  handles_.reset();
}

}  // namespace gguf_shard::gpu
