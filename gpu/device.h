// One Vulkan device, opened for compute: found, judged, chosen and owned here.
//
// The loader (libvulkan) is opened at run time, once per process; without it, or without a usable
// driver, ListDevices is empty and Device::Open fails with kDevice: everything else goes on.
// No header of this module but gpu/vulkan_handles.h shows a Vulkan type, so users of a device do
// not depend on Vulkan's headers. Every VkResult becomes an Error in gpu/vulkan_error.h.
//
// Memory: every allocation on a device is counted (Buffer), and refused with kBudgetTooSmall when
// it would pass `memory_limit_bytes`.
//
// Validation: with GGUF_SHARD_VULKAN_VALIDATION=1, or in builds without NDEBUG, the Khronos layers
// run; what they say is counted and kept (ValidationMessages), and tests fail on it.
//
// Thread-safety: a Device may be used from many threads; its queue serialises submissions.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace gguf_shard::gpu {

enum class DeviceType : uint8_t { kDiscrete, kIntegrated, kVirtual, kCpu, kOther };
std::string_view DeviceTypeName(DeviceType type);  // "discrete", "integrated", ...

// What a device offers. Sizes in bytes.
struct DeviceInfo {
  uint32_t index = 0;  // Vulkan's order, the N of `vulkan:N`
  std::string name;
  std::string driver;
  DeviceType type = DeviceType::kOther;
  uint64_t local_memory_bytes = 0;  // the largest device-local heap
  uint64_t free_memory_bytes = 0;   // of it, by VK_EXT_memory_budget; else local_memory_bytes
  uint64_t max_allocation_bytes = 0;
  uint64_t max_buffer_bytes = 0;
  bool unified_memory = false;      // the device's memory is the host's, and mapped (no link)
  bool has_transfer_queue = false;  // a queue family apart from compute
  bool has_memory_budget = false;
  bool imports_host_memory = false;  // VK_EXT_external_memory_host
  bool integer_dot_product = false;  // of 8-bit integers, packed
  bool fast_integer_dot = false;     // by an instruction of its own
  // VK_NV_cooperative_matrix, which is what Debian's glslc compiles for: 16 x 16 of f16, f32 sums.
  bool cooperative_matrix = false;
  bool float16 = false;
  uint32_t subgroup_size = 0;  // default; pipelines may ask for another in [min, max]
  uint32_t min_subgroup_size = 0;
  uint32_t max_subgroup_size = 0;
  uint32_t shared_memory_bytes = 0;
  uint32_t max_workgroup_invocations = 0;
  std::string refusal;  // empty: usable; else the feature that it lacks, a sentence
  bool usable() const { return refusal.empty(); }
};

// All devices that Vulkan shows, usable or not. Empty without a loader or a driver; `why_none`
// (when given) then says which.
std::vector<DeviceInfo> ListDevices(std::string* why_none = nullptr);

struct DeviceOptions {
  int32_t index = -1;               // -1: the best usable one (discrete, integrated, virtual, cpu)
  uint64_t memory_limit_bytes = 0;  // 0: what the device says is free
  std::string pipeline_cache_path;  // empty: no cache on disk
};

// Messages of the validation layers since the process started (errors and warnings).
struct ValidationMessages {
  bool active = false;  // whether the layers have run at all
  uint64_t count = 0;
  std::string first;  // the first one's text
};
ValidationMessages GetValidationMessages();

class Buffer;
class Queue;
struct DeviceHandles;  // gpu/vulkan_handles.h

class Device {
 public:
  static Result<std::unique_ptr<Device>> Open(const DeviceOptions& options);
  // gpu/vulkan_handles.h has Adopt, which takes a VkDevice that the caller made.
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const DeviceInfo& info() const { return info_; }
  // The queue for compute; everything on it is ordered by its timeline (gpu/queue.h).
  Queue& compute_queue() { return *compute_queue_; }
  // For copies from host memory; the compute queue itself where the device has no other.
  Queue& transfer_queue();
  // A second one that computes, for short work that must not wait for long kernels (checks of
  // pages that arrive); the compute queue itself where the device has no other.
  Queue& side_queue();

  uint64_t memory_limit_bytes() const { return memory_limit_bytes_; }
  uint64_t allocated_bytes() const { return allocated_bytes_.load(std::memory_order_relaxed); }
  uint64_t peak_allocated_bytes() const {
    return peak_allocated_bytes_.load(std::memory_order_relaxed);
  }
  // What the driver says that this process uses (VK_EXT_memory_budget); 0 where it cannot say.
  uint64_t driver_reported_bytes() const;

  const DeviceHandles& handles() const { return *handles_; }

 private:
  friend class Buffer;
  friend struct DeviceHandles;
  Device();
  Result<void> CountAllocation(uint64_t bytes);
  void UncountAllocation(uint64_t bytes);

  DeviceInfo info_;
  uint64_t memory_limit_bytes_ = 0;
  std::atomic<uint64_t> allocated_bytes_{0};
  std::atomic<uint64_t> peak_allocated_bytes_{0};
  std::unique_ptr<DeviceHandles> handles_;
  std::unique_ptr<Queue> compute_queue_;
  std::unique_ptr<Queue> transfer_queue_;  // null: the compute queue serves
  std::unique_ptr<Queue> side_queue_;      // null: the compute queue serves
};

}  // namespace gguf_shard::gpu
