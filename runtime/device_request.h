// Which device a model shall run on, as users say it. Thread-safety: plain data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/error.h"

namespace gguf_shard {

enum class DeviceChoice : uint8_t {
  kCpu,
  kAuto,    // a graphics processor when there is one that can be used, else the CPU
  kVulkan,  // a Vulkan device, be it a processor's (lavapipe); an error when there is none
};

// How a device multiplies quantized weights: in f32, or by integer dot products with activations of
// 16 bits.
enum class DeviceMath : uint8_t {
  kAuto,  // integers where the device has an instruction for them
  kFloat,
  kInteger,
  kMatrix,  // in f32, and prompts by cooperative matrices
};
// "auto", "float", "integer", "matrix"
Result<DeviceMath> ParseDeviceMath(std::string_view text);

struct DeviceRequest {
  DeviceChoice choice = DeviceChoice::kCpu;
  int32_t index = -1;  // of kVulkan: Vulkan's number; -1: the best one
  // All memory taken on the device. Nothing: what is free there.
  std::optional<uint64_t> vram_budget_bytes;
  std::string pipeline_cache_path;  // empty: shaders are compiled anew
  // How many of the last layers the device gets; all of them bring the output matrix with them.
  // Nothing: all.
  std::optional<uint32_t> gpu_layers;
  DeviceMath math = DeviceMath::kAuto;
};

// "auto", "cpu", "vulkan", "vulkan:N"
Result<DeviceRequest> ParseDevice(std::string_view text);

// The Vulkan device that a request means, by its number; nothing for the CPU. With kAuto the loader
// is not even opened where the system has no graphics processor.
Result<std::optional<uint32_t>> ChooseDevice(const DeviceRequest& request);

}  // namespace gguf_shard
