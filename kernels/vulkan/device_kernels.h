// The compute shaders of kernels/shaders as functions that record into gpu::Commands. Nothing here
// orders one dispatch after another: the caller puts barriers.
//
// Pipelines are made when they are first needed, one for each tensor type and tile shape that the
// model has. Workgroup sizes follow the device: a graphics processor gets several parts of a strip
// to a workgroup, a processor (lavapipe) one, of the subgroup's width.
//
// Results are bit-identical on one device whatever the place of the pages, the number of tokens
// computed together, and the split of a matrix into dispatches.
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

class DeviceKernels {
 public:
  DeviceKernels(gpu::Device& device, const HeadShape& heads) : device_(device), heads_(heads) {}

  // Strips [first_strip, + strip_count) of the matrix. Of `arguments`, page_table, x, y, x_rows,
  // token_count and the strides count; the matrix fills in the rest.
  Result<void> MatMul(gpu::Commands& commands, const DeviceMatrix& matrix, uint32_t first_strip,
                      uint32_t strip_count, MatMulArguments arguments);
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
  bool is_processor() const { return device_.info().type == gpu::DeviceType::kCpu; }
  uint32_t GroupSize(uint32_t preferred) const;

  gpu::Device& device_;
  HeadShape heads_;
  std::map<Key, gpu::Kernel> kernels_;
};

}  // namespace gguf_shard
