#include "gpu/device.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "gpu/pipeline_cache.h"
#include "gpu/queue.h"
#include "gpu/vulkan_error.h"
#include "gpu/vulkan_handles.h"

namespace gguf_shard::gpu {
namespace {

// Best first.
int RankOf(DeviceType type) {
  switch (type) {
    case DeviceType::kDiscrete:
      return 0;
    case DeviceType::kIntegrated:
      return 1;
    case DeviceType::kVirtual:
      return 2;
    case DeviceType::kCpu:
      return 3;
    case DeviceType::kOther:
      return 4;
  }
  return 4;
}

Result<std::vector<PhysicalDevice>> DescribeAll(const Instance& instance) {
  GS_ASSIGN(const auto handles, instance.PhysicalDevices());
  std::vector<PhysicalDevice> devices;
  for (const VkPhysicalDevice handle : handles) {
    devices.push_back(
        DescribeDevice(instance.functions(), handle, static_cast<uint32_t>(devices.size())));
  }
  return devices;
}

Error RefusalOf(const DeviceInfo& info) {
  return Error(ErrorCode::kDevice, fmt::format("Vulkan device {} ({}) cannot be used: {}",
                                               info.index, info.name, info.refusal));
}

Result<PhysicalDevice> Choose(const std::vector<PhysicalDevice>& devices, int32_t index) {
  if (devices.empty()) return Fail(ErrorCode::kDevice, "Vulkan shows no device: no driver");
  if (index >= 0) {
    if (static_cast<size_t>(index) >= devices.size()) {
      return Fail(Error(ErrorCode::kDevice, "there is no Vulkan device of that number")
                      .Expected(fmt::format("0 to {}", devices.size() - 1))
                      .Found(static_cast<uint64_t>(index)));
    }
    const PhysicalDevice& device = devices[static_cast<size_t>(index)];
    if (!device.info.usable()) return Fail(RefusalOf(device.info));
    return device;
  }
  const PhysicalDevice* best = nullptr;
  for (const PhysicalDevice& device : devices) {
    if (!device.info.usable()) continue;
    if (best == nullptr || RankOf(device.info.type) < RankOf(best->info.type)) best = &device;
  }
  if (best == nullptr) return Fail(RefusalOf(devices.front().info));
  return *best;
}

Result<VkDevice> CreateDevice(const InstanceFunctions& functions, const PhysicalDevice& physical) {
  FeatureChain offered(physical.api_version, physical.extensions);
  functions.get_features2(physical.handle, &offered.core);
  FeatureChain wanted(physical.api_version, physical.extensions);
  SwitchOn(offered, wanted);

  const std::array<float, 2> priorities{1, 1};
  std::array<VkDeviceQueueCreateInfo, 2> queues{};
  for (VkDeviceQueueCreateInfo& queue : queues) {
    queue.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO;
    queue.queueCount = 1;
    queue.pQueuePriorities = priorities.data();
  }
  queues[0].queueFamilyIndex = physical.compute_family;
  queues[0].queueCount = physical.compute_queue_count > 1 ? 2 : 1;
  queues[1].queueFamilyIndex = physical.transfer_family;
  const std::vector<const char*> extensions = WantedExtensions(physical);

  VkDeviceCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO;
  info.pNext = &wanted.core;
  info.queueCreateInfoCount = physical.compute_family == physical.transfer_family ? 1 : 2;
  info.pQueueCreateInfos = queues.data();
  info.enabledExtensionCount = static_cast<uint32_t>(extensions.size());
  info.ppEnabledExtensionNames = extensions.data();
  VkDevice device = VK_NULL_HANDLE;
  GS_TRY(CheckVulkan(functions.create_device(physical.handle, &info, nullptr, &device),
                     "opening the Vulkan device"));
  return device;
}

}  // namespace

std::string_view DeviceTypeName(DeviceType type) {
  switch (type) {
    case DeviceType::kDiscrete:
      return "discrete";
    case DeviceType::kIntegrated:
      return "integrated";
    case DeviceType::kVirtual:
      return "virtual";
    case DeviceType::kCpu:
      return "cpu";
    case DeviceType::kOther:
      return "other";
  }
  return "other";
}

std::vector<DeviceInfo> ListDevices(std::string* why_none) {
  const auto say = [&](std::string text) {
    if (why_none != nullptr) *why_none = std::move(text);
    return std::vector<DeviceInfo>{};
  };
  auto instance = Instance::Get();
  if (!instance) return say(instance.error().ToString());
  auto devices = DescribeAll(**instance);
  if (!devices) return say(devices.error().ToString());
  if (devices->empty()) return say("Vulkan shows no device: no driver");
  std::vector<DeviceInfo> infos;
  for (const PhysicalDevice& device : *devices) infos.push_back(device.info);
  return infos;
}

Device::Device() : handles_(std::make_unique<DeviceHandles>()) {}

Device::~Device() {
  if (handles_->pipeline_cache != VK_NULL_HANDLE) SavePipelineCache(*handles_);
  // What is still in flight ends first; an adopted device's other work is its owner's.
  if (transfer_queue_) static_cast<void>(transfer_queue_->Wait(transfer_queue_->Latest().value));
  if (side_queue_) static_cast<void>(side_queue_->Wait(side_queue_->Latest().value));
  if (compute_queue_) static_cast<void>(compute_queue_->Wait(compute_queue_->Latest().value));
}

Queue& Device::transfer_queue() { return transfer_queue_ ? *transfer_queue_ : *compute_queue_; }

Queue& Device::side_queue() { return side_queue_ ? *side_queue_ : *compute_queue_; }

Result<std::unique_ptr<Device>> Device::Open(const DeviceOptions& options) {
  GS_ASSIGN(auto instance, Instance::Get());
  GS_ASSIGN(const auto devices, DescribeAll(*instance));
  std::unique_ptr<Device> device(new Device);
  DeviceHandles& handles = *device->handles_;
  handles.instance = instance;
  handles.functions = instance->functions();
  GS_ASSIGN(handles.physical, Choose(devices, options.index));
  GS_ASSIGN(handles.device, CreateDevice(handles.functions, handles.physical));
  handles.owned = true;
  handles.vk = handles.functions.LoadDevice(handles.device);
  handles.pipeline_cache_path = options.pipeline_cache_path;
  GS_TRY(LoadPipelineCache(handles));

  device->info_ = handles.physical.info;
  device->memory_limit_bytes_ =
      options.memory_limit_bytes > 0 ? options.memory_limit_bytes : device->info_.free_memory_bytes;
  VkQueue compute = VK_NULL_HANDLE;
  VkQueue transfer = VK_NULL_HANDLE;
  VkQueue side = VK_NULL_HANDLE;
  handles.vk.vkGetDeviceQueue(handles.device, handles.physical.compute_family, 0, &compute);
  if (handles.has_two_families()) {
    handles.vk.vkGetDeviceQueue(handles.device, handles.physical.transfer_family, 0, &transfer);
  }
  if (handles.physical.compute_queue_count > 1) {
    handles.vk.vkGetDeviceQueue(handles.device, handles.physical.compute_family, 1, &side);
  }
  GS_TRY(DeviceHandles::AddQueues(*device, compute, transfer, side));
  return device;
}

Result<void> Device::CountAllocation(uint64_t bytes) {
  uint64_t before = allocated_bytes_.load(std::memory_order_relaxed);
  do {
    if (bytes > memory_limit_bytes_ || before > memory_limit_bytes_ - bytes) {
      return Fail(Error(ErrorCode::kBudgetTooSmall, "the device's memory budget is used up")
                      .Expected(fmt::format("at most {} bytes", memory_limit_bytes_))
                      .Found(fmt::format("{} bytes in use, {} more wanted", before, bytes)));
    }
  } while (!allocated_bytes_.compare_exchange_weak(before, before + bytes));
  uint64_t peak = peak_allocated_bytes_.load(std::memory_order_relaxed);
  while (peak < before + bytes &&
         !peak_allocated_bytes_.compare_exchange_weak(peak, before + bytes)) {
  }
  return {};
}

void Device::UncountAllocation(uint64_t bytes) {
  allocated_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
}

uint64_t Device::driver_reported_bytes() const {
  if (!info_.has_memory_budget) return 0;
  VkPhysicalDeviceMemoryBudgetPropertiesEXT budget{};
  budget.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT;
  VkPhysicalDeviceMemoryProperties2 memory{};
  memory.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2;
  memory.pNext = &budget;
  handles_->functions.get_memory_properties2(handles_->physical.handle, &memory);
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < memory.memoryProperties.memoryHeapCount; ++i) {
    const bool local =
        (memory.memoryProperties.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) != 0;
    if (local) bytes += budget.heapUsage[i];
  }
  return bytes;
}

}  // namespace gguf_shard::gpu
