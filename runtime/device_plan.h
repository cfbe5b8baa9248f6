// Who gets how much of a device's memory: the key/value cache of its layers, activations, the small
// vectors; the atlas (slots for weight pages, page table, staging) gets the rest.
// Thread-safety: pure functions over what they are given.
#pragma once

#include <cstdint>

#include "atlas/vulkan_atlas.h"
#include "core/error.h"
#include "gpu/device.h"
#include "kernels/vulkan/device_kernels.h"
#include "runtime/device_workspace.h"
#include "runtime/memory_plan.h"
#include "runtime/model.h"

namespace gguf_shard {

struct DevicePlan {
  DeviceShape shape;
  KernelTuning tuning;
  DeviceWorkspaceBytes workspace;
  uint64_t limit_bytes = 0;     // what all of it stays within
  uint64_t vector_bytes = 0;    // norms and biases
  uint64_t resident_bytes = 0;  // of the atlas, if all pages had a place
  VulkanAtlasOptions atlas;

  uint64_t total_bytes() const { return workspace.total() + vector_bytes + atlas.memory_bytes; }
};

// The first of the last layers that `request` gives the device.
uint32_t FirstDeviceLayer(const Hyperparameters& numbers, const DeviceRequest& request);

// The least memory on the device that a plan needs.
Result<uint64_t> SmallestDeviceBytes(const Model& model, const EngineOptions& options,
                                     const gpu::Device& device);
// Memory of the process that the driver still takes, once it compiles shaders: nothing, but of a
// driver in software.
uint64_t DriverComingBytes(const gpu::Device& device);

// kBudgetTooSmall names the smallest --vram-budget that would do. `limit_bytes`: what may be
// taken on the device.
Result<DevicePlan> PlanDevice(const Model& model, const EngineOptions& options,
                              const gpu::Device& device, uint64_t limit_bytes);

// The host's side of an engine whose layers are all on the device: `pool_bytes` is what it may
// cache of the pages that have no place there (nothing on unified memory). kBudgetTooSmall when
// the process's budget cannot hold what it takes, with the device's memory where that is unified.
Result<MemoryPlan> PlanHostOfDevice(const Model& model, const EngineOptions& options,
                                    const ProcessMemory& process, uint64_t available_bytes,
                                    const DevicePlan& device, const gpu::Device& on);

}  // namespace gguf_shard
