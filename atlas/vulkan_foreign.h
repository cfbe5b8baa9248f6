// A caller's Vulkan objects as plain pointers and numbers, for the C library, whose files see no
// Vulkan header. Thread-safe, as gpu/ is.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "core/error.h"
#include "gpu/device.h"
#include "gpu/queue.h"

namespace gguf_shard {

// gpu::AdoptedDevice with its handles as pointers.
struct ForeignDevice {
  void* get_instance_proc_addr = nullptr;
  void* instance = nullptr;
  void* physical_device = nullptr;
  void* device = nullptr;
  void* compute_queue = nullptr;
  uint32_t compute_family = 0;
  void* transfer_queue = nullptr;
  uint32_t transfer_family = 0;
  std::span<const char* const> enabled_extensions;
  void (*lock_queues)(void* context) = nullptr;
  void (*unlock_queues)(void* context) = nullptr;
  void* lock_context = nullptr;
};

Result<std::unique_ptr<gpu::Device>> AdoptForeignDevice(const ForeignDevice& foreign,
                                                        uint64_t memory_limit_bytes);

// Gives a timeline semaphore its value once all that was submitted to the queue has ended.
Result<gpu::TimelinePoint> SignalForeignSemaphore(gpu::Queue& queue, uint64_t semaphore,
                                                  uint64_t value);

}  // namespace gguf_shard
