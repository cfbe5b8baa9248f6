#include "gpu/vulkan_handles.h"

#include <bit>

#include "gpu/pipeline_cache.h"
#include "gpu/vulkan_error.h"

namespace gguf_shard::gpu {
namespace {

Result<std::unique_ptr<QueueHandles>> MakeQueue(const DeviceHandles& device, VkQueue queue,
                                                uint32_t family) {
  auto handles = std::make_unique<QueueHandles>();
  handles->device = &device;
  handles->queue = queue;
  handles->family = family;
  VkSemaphoreTypeCreateInfo type{};
  type.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO;
  type.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE;
  VkSemaphoreCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO;
  info.pNext = &type;
  GS_TRY(CheckVulkan(device.vk.vkCreateSemaphore(device.device, &info, nullptr, &handles->timeline),
                     "creating a timeline semaphore"));
  return handles;
}

}  // namespace

DeviceHandles::~DeviceHandles() {
  if (device == VK_NULL_HANDLE) return;
  if (pipeline_cache != VK_NULL_HANDLE) vk.vkDestroyPipelineCache(device, pipeline_cache, nullptr);
  if (owned) vk.vkDestroyDevice(device, nullptr);
}

KernelHandles::~KernelHandles() {
  if (pipeline != VK_NULL_HANDLE) device->vk.vkDestroyPipeline(device->device, pipeline, nullptr);
  if (layout != VK_NULL_HANDLE) device->vk.vkDestroyPipelineLayout(device->device, layout, nullptr);
}

CommandsHandles::~CommandsHandles() {
  const DeviceHandles& device = *queue->device;
  if (pool != VK_NULL_HANDLE) device.vk.vkDestroyCommandPool(device.device, pool, nullptr);
}

QueueHandles::~QueueHandles() {
  idle.clear();
  if (timeline != VK_NULL_HANDLE) {
    device->vk.vkDestroySemaphore(device->device, timeline, nullptr);
  }
}

uint32_t DeviceHandles::FindMemoryType(uint32_t allowed, VkMemoryPropertyFlags needed,
                                       VkMemoryPropertyFlags liked,
                                       VkMemoryPropertyFlags disliked) const {
  uint32_t best = ~uint32_t{0};
  int best_score = 0;
  for (uint32_t i = 0; i < physical.memory.memoryTypeCount; ++i) {
    const VkMemoryPropertyFlags flags = physical.memory.memoryTypes[i].propertyFlags;
    if ((allowed & (uint32_t{1} << i)) == 0 || (flags & needed) != needed) continue;
    const int score = 1000 + 10 * std::popcount(flags & liked) - std::popcount(flags & disliked);
    if (score > best_score) {
      best = i;
      best_score = score;
    }
  }
  return best;
}

Result<void> DeviceHandles::AddQueues(Device& device, VkQueue compute, VkQueue transfer,
                                      VkQueue side) {
  const DeviceHandles& handles = *device.handles_;
  const auto add = [&](VkQueue queue, uint32_t family, std::unique_ptr<Queue>& target) {
    Result<void> done;
    if (queue == VK_NULL_HANDLE) return done;
    auto made = MakeQueue(handles, queue, family);
    if (!made) return Result<void>(Fail(std::move(made.error())));
    target.reset(new Queue);
    target->handles_ = std::move(*made);
    return done;
  };
  GS_TRY(add(compute, handles.physical.compute_family, device.compute_queue_));
  GS_TRY(add(transfer, handles.physical.transfer_family, device.transfer_queue_));
  return add(side, handles.physical.compute_family, device.side_queue_);
}

Result<std::unique_ptr<Device>> DeviceHandles::AdoptDevice(const AdoptedDevice& adopted,
                                                           uint64_t memory_limit_bytes) {
  PFN_vkGetInstanceProcAddr get = adopted.get_instance_proc_addr;
  if (get == nullptr) {
    GS_ASSIGN(get, LoaderEntryPoint());
  }
  std::unique_ptr<Device> device(new Device);
  DeviceHandles& handles = *device->handles_;
  GS_ASSIGN(handles.functions, InstanceFunctions::Load(get, adopted.instance));
  handles.physical = DescribeDevice(handles.functions, adopted.physical_device, 0);
  if (!handles.physical.info.usable()) {
    return Fail(ErrorCode::kDevice,
                "the given device cannot be used: " + handles.physical.info.refusal);
  }
  // Only what the caller has switched on counts.
  handles.physical.extensions.assign(adopted.enabled_extensions.begin(),
                                     adopted.enabled_extensions.end());
  DeviceInfo& info = handles.physical.info;
  info.imports_host_memory = handles.physical.Has(VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME);
  info.cooperative_matrix = handles.physical.Has(VK_NV_COOPERATIVE_MATRIX_EXTENSION_NAME);
  info.has_memory_budget = handles.physical.Has(VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
  info.has_transfer_queue = adopted.transfer_queue != VK_NULL_HANDLE;
  info.min_subgroup_size = info.max_subgroup_size = info.subgroup_size;
  handles.physical.compute_family = adopted.compute_family;
  handles.physical.transfer_family =
      info.has_transfer_queue ? adopted.transfer_family : adopted.compute_family;
  handles.device = adopted.device;
  handles.vk = handles.functions.LoadDevice(adopted.device);
  handles.lock_queues = adopted.lock_queues;
  handles.unlock_queues = adopted.unlock_queues;
  handles.lock_context = adopted.lock_context;
  device->info_ = info;
  device->memory_limit_bytes_ =
      memory_limit_bytes > 0 ? memory_limit_bytes : info.free_memory_bytes;
  GS_TRY(AddQueues(*device, adopted.compute_queue, adopted.transfer_queue, VK_NULL_HANDLE));
  return device;
}

Result<std::unique_ptr<Device>> Adopt(const AdoptedDevice& adopted, uint64_t memory_limit_bytes) {
  return DeviceHandles::AdoptDevice(adopted, memory_limit_bytes);
}

}  // namespace gguf_shard::gpu
