// A compute pipeline: SPIR-V that was compiled by glslc when the program was built, with its
// specialization constants bound. Its only arguments are push constants (at most
// kMaxPushConstantBytes), in which all memory is named by device addresses.
//
// Shaders are embedded by their file's name: kernels/shaders/rms_norm.comp is "rms_norm".
// Immutable; thread-safe. Must not outlive its device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "core/error.h"
#include "gpu/device.h"

namespace gguf_shard::gpu {

inline constexpr uint32_t kMaxPushConstantBytes = 128;  // what every device offers

struct KernelHandles;  // gpu/vulkan_handles.h

// Compiled shaders; the words live as long as the program.
struct Shader {
  std::string_view name;
  std::span<const uint32_t> words;
};

// The shader of that name; it must be there. Each module that has shaders (CMake: gs_shaders) lists
// them: atlas/vulkan_shaders.h, kernels/vulkan/shaders.h.
const Shader& FindShader(std::span<const Shader> shaders, std::string_view name);

struct KernelOptions {
  // constant_id 0, 1, 2, ... in order; 32 bits each (a bool or a float by its bits).
  std::span<const uint32_t> specialization;
  uint32_t push_constant_bytes = 0;
  uint32_t subgroup_size = 0;  // 0: the device's default; else required, with full subgroups
};

class Kernel {
 public:
  static Result<Kernel> Create(Device& device, const Shader& shader, const KernelOptions& options);

  Kernel(Kernel&& other) noexcept;
  Kernel& operator=(Kernel&& other) noexcept;
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;
  ~Kernel();

  uint32_t push_constant_bytes() const { return push_constant_bytes_; }
  const KernelHandles& handles() const { return *handles_; }

 private:
  Kernel();

  std::unique_ptr<KernelHandles> handles_;
  uint32_t push_constant_bytes_ = 0;
};

}  // namespace gguf_shard::gpu
