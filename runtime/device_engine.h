// Everything that runs a model's last layers, or all of it, on one Vulkan device: the device, the
// atlas in its memory, the shaders, and the pass over them.
// For one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "atlas/page_source.h"
#include "atlas/vulkan_atlas.h"
#include "core/error.h"
#include "gpu/device.h"
#include "runtime/device_pass.h"
#include "runtime/device_plan.h"
#include "runtime/device_request.h"

namespace gguf_shard {

// What a device did, for statistics.
struct DeviceStats {
  std::string name;
  bool unified_memory = false;  // the device's memory is the host's
  uint32_t first_layer = 0;
  uint32_t layer_count = 0;
  uint64_t limit_bytes = 0;
  uint64_t peak_bytes = 0;
  uint64_t cache_bytes = 0;
  uint64_t activation_bytes = 0;
  uint64_t waves = 0;            // submissions of kernels
  uint64_t host_waits = 0;       // how often the host waited for one to end
  uint64_t read_back_bytes = 0;  // logits, choices of experts, hidden states
  VulkanAtlasStats atlas;
};

class DeviceEngine {
 public:
  // `index` is Vulkan's number of the device. Opened in two steps, because how much memory the host
  // can spare is known when the device's driver has taken its own. The model outlives the engine.
  static Result<std::unique_ptr<DeviceEngine>> Open(const Model& model,
                                                    const EngineOptions& options, uint32_t index);
  // With what the host can spare for pages that the device has no room for; before any pass.
  Result<void> OpenAtlas(uint64_t host_cache_bytes);

  const DevicePlan& plan() const { return plan_; }
  const gpu::Device& device() const { return *device_; }
  bool has_all_layers() const { return plan_.shape.first_layer == 0; }
  // Device memory is host memory, and counts there.
  bool unified_memory() const { return device_->info().unified_memory; }
  bool everything_fits() const { return atlas_->everything_fits(); }
  DevicePass& pass() { return *pass_; }
  DeviceStats Stats() const;
  std::string DescribeSource() const { return source_->Describe(); }

 private:
  DeviceEngine(const Model& model, std::unique_ptr<gpu::Device> device, DevicePlan plan);

  const Model& model_;
  std::unique_ptr<gpu::Device> device_;
  DevicePlan plan_;
  std::unique_ptr<PageSource> source_;
  DeviceKernels kernels_;
  DeviceWeights weights_;
  DeviceWorkspace workspace_;
  std::unique_ptr<VulkanAtlas> atlas_;
  std::optional<DeviceRecorder> recorder_;
  std::optional<DevicePass> pass_;
};

}  // namespace gguf_shard
