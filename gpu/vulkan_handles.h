// The Vulkan side of gpu/'s types, for the few files that need it: the module itself, and callers
// that bring their own VkDevice. The one header of the module, beside its private ones, that shows
// Vulkan types.
//
// Thread-safety: what is const here never changes after its object is made; a queue's and the
// pipeline cache's mutable parts are guarded by their mutexes.
#pragma once

#include <volk.h>

#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "core/error.h"
#include "gpu/device.h"
#include "gpu/queue.h"
#include "gpu/vulkan_features.h"
#include "gpu/vulkan_instance.h"

namespace gguf_shard::gpu {

// A device that the caller made and keeps. It must have been created with the features
// bufferDeviceAddress and timelineSemaphore (those that are on beside them may be used), and with
// the extensions that `enabled_extensions` names. All must outlive the Device.
struct AdoptedDevice {
  PFN_vkGetInstanceProcAddr get_instance_proc_addr = nullptr;  // null: libvulkan's
  VkInstance instance = VK_NULL_HANDLE;
  VkPhysicalDevice physical_device = VK_NULL_HANDLE;
  VkDevice device = VK_NULL_HANDLE;
  VkQueue compute_queue = VK_NULL_HANDLE;
  uint32_t compute_family = 0;
  VkQueue transfer_queue = VK_NULL_HANDLE;  // null: the compute queue serves
  uint32_t transfer_family = 0;
  std::span<const char* const> enabled_extensions;
  // Called around every use of the queues, when the caller submits to them too; may be null.
  void (*lock_queues)(void* context) = nullptr;
  void (*unlock_queues)(void* context) = nullptr;
  void* lock_context = nullptr;
};

Result<std::unique_ptr<Device>> Adopt(const AdoptedDevice& adopted, uint64_t memory_limit_bytes);

// Like Queue::Submit; when the commands have ended, `semaphore` (a timeline) gets `value` too.
Result<TimelinePoint> SubmitAndSignal(Queue& queue, Commands commands,
                                      std::span<const TimelinePoint> wait_for,
                                      VkSemaphore semaphore, uint64_t value);

struct DeviceHandles {
  std::shared_ptr<Instance> instance;  // null for an adopted device
  InstanceFunctions functions;
  PhysicalDevice physical;
  VkDevice device = VK_NULL_HANDLE;
  bool owned = false;
  VolkDeviceTable vk{};
  VkPipelineCache pipeline_cache = VK_NULL_HANDLE;
  std::string pipeline_cache_path;
  void (*lock_queues)(void*) = nullptr;
  void (*unlock_queues)(void*) = nullptr;
  void* lock_context = nullptr;

  ~DeviceHandles();
  bool has_two_families() const { return physical.compute_family != physical.transfer_family; }
  // The index of a memory type that has all of `needed` among the `allowed` types, with as many of
  // `liked` as possible and none of `disliked` where it can be helped; ~0 when there is none.
  uint32_t FindMemoryType(uint32_t allowed, VkMemoryPropertyFlags needed,
                          VkMemoryPropertyFlags liked, VkMemoryPropertyFlags disliked) const;
  // What is null is served by the compute queue.
  static Result<void> AddQueues(Device& device, VkQueue compute, VkQueue transfer, VkQueue side);
  static Result<std::unique_ptr<Device>> AdoptDevice(const AdoptedDevice& adopted,
                                                     uint64_t memory_limit_bytes);
};

struct BufferHandles {
  VkBuffer buffer = VK_NULL_HANDLE;
  VkDeviceMemory memory = VK_NULL_HANDLE;
};

struct KernelHandles {
  const DeviceHandles* device = nullptr;
  VkPipelineLayout layout = VK_NULL_HANDLE;
  VkPipeline pipeline = VK_NULL_HANDLE;
  ~KernelHandles();
};

struct CommandsHandles {
  QueueHandles* queue = nullptr;
  VkCommandPool pool = VK_NULL_HANDLE;
  VkCommandBuffer buffer = VK_NULL_HANDLE;
  uint64_t last_value = 0;  // of the submission that used it last
  bool empty = true;
  ~CommandsHandles();
};

struct QueueHandles {
  const DeviceHandles* device = nullptr;
  VkQueue queue = VK_NULL_HANDLE;
  uint32_t family = 0;
  VkSemaphore timeline = VK_NULL_HANDLE;

  std::mutex mutex;  // guards what follows, and the queue
  uint64_t submitted_value = 0;
  std::vector<std::unique_ptr<CommandsHandles>> idle;  // some still being executed

  ~QueueHandles();
};

}  // namespace gguf_shard::gpu
