// The compute shaders of kernels/shaders as functions that record into gpu::Commands. Nothing here
// orders one dispatch after another: the caller puts barriers.
//
// Pipelines are made when they are first needed, one for each tensor type and tile shape that the
// model has. Workgroup sizes follow the device (KernelTuning).
//
// Results are bit-identical on one device with one tuning, whatever the place of the pages, the
// number of tokens computed together, and the split of a matrix into dispatches; but for
// cooperative matrices.
// For one thread at a time. Must not outlive its device.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "core/error.h"
#include "gpu/device.h"
#include "gpu/kernel.h"
#include "gpu/queue.h"
#include "kernels/vulkan/device_arguments.h"

namespace gguf_shard {

// Whether a type can be multiplied with and gathered from on a device.
bool HasDeviceKernels(TensorType type);

// How workgroups are shaped, and what multiplies.
struct KernelTuning {
  uint32_t subgroup_size = 32;  // workgroups of matrix products are whole subgroups
  // Several parts of a strip, and many values of a row, to a workgroup: what a graphics processor
  // needs. A processor runs a workgroup's subgroups one after another, and pays for barriers.
  bool wide_groups = true;
  // Quantized weights by integer dot products with activations of 16 bits (2^-15 of a value, as on
  // the processor); else in f32.
  bool integer_dot = false;
  // Several tokens at once by cooperative matrices: where a device has them this is the fastest
  // way, but the last bits of a result then depend on whether a token came alone.
  bool cooperative_matrix = false;
};
// What a device is made for.
KernelTuning TuningFor(const gpu::DeviceInfo& info);

class DeviceKernels {
 public:
  // The device has what the tuning uses.
  DeviceKernels(gpu::Device& device, const HeadShape& heads, const KernelTuning& tuning)
      : device_(device), heads_(heads), tuning_(tuning) {}
  DeviceKernels(gpu::Device& device, const HeadShape& heads)
      : DeviceKernels(device, heads, TuningFor(device.info())) {}

  // Whether x comes packed (PackRows) for matrices of this type.
  bool UsesIntegerDot(TensorType type) const;

  // Strips [first_strip, + strip_count) of the matrix. Of `arguments`, page_table, x, y, x_rows,
  // token_count and the strides count; the matrix fills in the rest.
  Result<void> MatMul(gpu::Commands& commands, const DeviceMatrix& matrix, uint32_t first_strip,
                      uint32_t strip_count, MatMulArguments arguments);
  Result<void> PackRows(gpu::Commands& commands, uint32_t row_count, PackRowsArguments arguments);
  Result<void> Gather(gpu::Commands& commands, const TensorLayout& layout, uint32_t token_count,
                      const GatherArguments& arguments);
  Result<void> RmsNorm(gpu::Commands& commands, uint32_t row_count,
                       const RmsNormArguments& arguments);
  Result<void> PrepareHeads(gpu::Commands& commands, uint32_t token_count,
                            const PrepareHeadsArguments& arguments);
  Result<void> Attention(gpu::Commands& commands, uint32_t head_count, uint32_t token_count,
                         const AttentionArguments& arguments);
  Result<void> SwiGlu(gpu::Commands& commands, uint32_t row_count, SwiGluArguments arguments);
  Result<void> RouteExperts(gpu::Commands& commands, uint32_t token_count,
                            const RouteExpertsArguments& arguments);
  Result<void> CombineExperts(gpu::Commands& commands, uint32_t token_count,
                              const CombineExpertsArguments& arguments);

 private:
  Result<void> MatMulByMatrices(gpu::Commands& commands, const DeviceMatrix& matrix,
                                uint32_t strip_count, MatMulArguments arguments);
  static constexpr size_t kMaxConstants = 6;
  struct Key {
    std::string shader;
    std::array<uint32_t, kMaxConstants> constants{};
    auto operator<=>(const Key&) const = default;
  };

  Result<const gpu::Kernel*> Get(std::string_view shader, std::span<const uint32_t> constants,
                                 uint32_t push_constant_bytes);
  template <typename Arguments>
  Result<void> Record(gpu::Commands& commands, std::string_view shader,
                      std::span<const uint32_t> constants, const Arguments& arguments,
                      uint32_t groups_x, uint32_t groups_y = 1);
  uint32_t GroupSize(uint32_t preferred) const;

  gpu::Device& device_;
  HeadShape heads_;
  KernelTuning tuning_;
  std::map<Key, gpu::Kernel> kernels_;
};

}  // namespace gguf_shard
