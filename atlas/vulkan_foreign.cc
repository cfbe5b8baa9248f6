#include "atlas/vulkan_foreign.h"

#include <utility>

#include "gpu/vulkan_handles.h"

namespace gguf_shard {

Result<std::unique_ptr<gpu::Device>> AdoptForeignDevice(const ForeignDevice& foreign,
                                                        uint64_t memory_limit_bytes) {
  gpu::AdoptedDevice adopted;
  adopted.get_instance_proc_addr =
      reinterpret_cast<PFN_vkGetInstanceProcAddr>(foreign.get_instance_proc_addr);
  adopted.instance = static_cast<VkInstance>(foreign.instance);
  adopted.physical_device = static_cast<VkPhysicalDevice>(foreign.physical_device);
  adopted.device = static_cast<VkDevice>(foreign.device);
  adopted.compute_queue = static_cast<VkQueue>(foreign.compute_queue);
  adopted.compute_family = foreign.compute_family;
  adopted.transfer_queue = static_cast<VkQueue>(foreign.transfer_queue);
  adopted.transfer_family = foreign.transfer_family;
  adopted.enabled_extensions = foreign.enabled_extensions;
  adopted.lock_queues = foreign.lock_queues;
  adopted.unlock_queues = foreign.unlock_queues;
  adopted.lock_context = foreign.lock_context;
  return gpu::Adopt(adopted, memory_limit_bytes);
}

Result<gpu::TimelinePoint> SignalForeignSemaphore(gpu::Queue& queue, uint64_t semaphore,
                                                  uint64_t value) {
  GS_ASSIGN(auto commands, queue.Begin());
  return gpu::SubmitAndSignal(queue, std::move(commands), {},
                              reinterpret_cast<VkSemaphore>(semaphore), value);
}

}  // namespace gguf_shard
