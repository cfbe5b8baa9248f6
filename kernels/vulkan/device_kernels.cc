#include "kernels/vulkan/device_kernels.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cctype>

#include "core/bytes.h"
#include "core/check.h"
#include "kernels/vulkan/shaders.h"

namespace gguf_shard {
namespace {

constexpr uint32_t kMaxGroups = 65535;       // in one direction, what every device offers
constexpr uint32_t kStripInvocations = 256;  // of a strip's workgroup, at most
constexpr uint32_t kBatchTokens = 8;         // tokens that share a decoded weight
constexpr uint32_t kMatrixSide = 16;         // of a cooperative matrix

// "matmul_q4_k"
std::string ShaderName(std::string_view operation, TensorType type) {
  std::string name = fmt::format("{}_{}", operation, TensorTypeName(type));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return static_cast<char>(std::tolower(c)); });
  return name;
}

bool HasShader(std::string_view name) {
  const auto shaders = kernels_shaders::All();
  return std::any_of(shaders.begin(), shaders.end(),
                     [name](const auto& shader) { return shader.name == name; });
}

}  // namespace

bool HasDeviceKernels(TensorType type) { return HasShader(ShaderName("matmul", type)); }

KernelTuning TuningFor(const gpu::DeviceInfo& info) {
  return {
      .subgroup_size = std::max(info.subgroup_size, 1u),
      .wide_groups = info.type != gpu::DeviceType::kCpu,
      .integer_dot = info.integer_dot_product && info.fast_integer_dot,
  };
}

bool DeviceKernels::UsesIntegerDot(TensorType type) const {
  return tuning_.integer_dot && HasShader(ShaderName("matmul_dot", type));
}

DeviceMatrix DescribeMatrix(const TensorLayout& layout, uint64_t first_page) {
  GS_CHECK(layout.layout == MemoryLayout::kColumnMajor);
  GS_CHECK(first_page + layout.pages_per_slice <= uint64_t{1} << 31);
  return {
      .type = layout.type,
      .tile_rows = layout.tile_rows,
      .tile_columns = layout.tile_columns,
      .first_page = static_cast<uint32_t>(first_page),
      .pages_per_strip = static_cast<uint32_t>(layout.pages_per_strip()),
      .columns = static_cast<uint32_t>(layout.columns),
      .rows = static_cast<uint32_t>(layout.rows),
  };
}

uint64_t DeviceKvRowBytes(KvType type, uint32_t count) {
  switch (type) {
    case KvType::kF32:
      return uint64_t{count} * 4;
    case KvType::kF16:
      return DivCeil(count, 2) * 4;
    case KvType::kQ8_0:
      return count + uint64_t{count} / 32 * 4;
  }
  return 0;
}

Result<const gpu::Kernel*> DeviceKernels::Get(std::string_view shader,
                                              std::span<const uint32_t> constants,
                                              uint32_t push_constant_bytes) {
  GS_CHECK(constants.size() <= kMaxConstants);
  Key key{std::string(shader), {}};
  std::copy(constants.begin(), constants.end(), key.constants.begin());
  if (const auto found = kernels_.find(key); found != kernels_.end()) return &found->second;
  const gpu::KernelOptions options = {
      .specialization = constants, .push_constant_bytes = push_constant_bytes, .subgroup_size = 0};
  GS_ASSIGN(gpu::Kernel kernel,
            gpu::Kernel::Create(device_, gpu::FindShader(kernels_shaders::All(), shader), options));
  return &kernels_.emplace(std::move(key), std::move(kernel)).first->second;
}

template <typename Arguments>
Result<void> DeviceKernels::Record(gpu::Commands& commands, std::string_view shader,
                                   std::span<const uint32_t> constants, const Arguments& arguments,
                                   uint32_t groups_x, uint32_t groups_y) {
  static_assert(sizeof(Arguments) <= gpu::kMaxPushConstantBytes);
  GS_CHECK(groups_x > 0 && groups_x <= kMaxGroups && groups_y > 0 && groups_y <= kMaxGroups);
  GS_ASSIGN(const gpu::Kernel* kernel, Get(shader, constants, sizeof(Arguments)));
  commands.Dispatch(*kernel, arguments, groups_x, groups_y);
  return {};
}

// A power of two.
uint32_t DeviceKernels::GroupSize(uint32_t preferred) const {
  const uint32_t wanted = tuning_.wide_groups ? preferred : tuning_.subgroup_size * 2;
  return std::bit_floor(std::min(wanted, device_.info().max_workgroup_invocations));
}

Result<void> DeviceKernels::MatMul(gpu::Commands& commands, const DeviceMatrix& matrix,
                                   uint32_t first_strip, uint32_t strip_count,
                                   MatMulArguments arguments) {
  GS_CHECK(arguments.x % 16 == 0);
  GS_CHECK(arguments.x_stride % 4 == 0 || UsesIntegerDot(matrix.type));
  const uint32_t most_parts =
      tuning_.wide_groups
          ? std::max(1u, std::min(kStripInvocations, device_.info().max_workgroup_invocations) /
                             matrix.tile_rows)
          : 1;
  const uint32_t rounds = static_cast<uint32_t>(DivCeil(matrix.pages_per_strip, most_parts));
  const uint32_t parts = static_cast<uint32_t>(DivCeil(matrix.pages_per_strip, rounds));
  const uint32_t tokens = arguments.token_count == 1 ? 1 : kBatchTokens;
  const std::array<uint32_t, 5> constants = {
      matrix.tile_rows, matrix.tile_columns,
      static_cast<uint32_t>(AlignUp(parts * matrix.tile_rows, tuning_.subgroup_size)), parts,
      tokens};
  arguments.first_page = matrix.first_page;
  arguments.pages_per_strip = matrix.pages_per_strip;
  arguments.columns = matrix.columns;
  arguments.rows = matrix.rows;
  arguments.has_x_rows = arguments.x_rows != 0 ? 1 : 0;
  arguments.first_strip = first_strip;
  const bool by_matrices = tuning_.cooperative_matrix && arguments.token_count > 1 &&
                           HasShader(ShaderName("matmul_matrix", matrix.type));
  if (by_matrices) return MatMulByMatrices(commands, matrix, strip_count, arguments);
  const auto token_groups = static_cast<uint32_t>(DivCeil(arguments.token_count, tokens));
  const std::string shader =
      ShaderName(UsesIntegerDot(matrix.type) ? "matmul_dot" : "matmul", matrix.type);
  for (uint32_t done = 0; done < strip_count; done += kMaxGroups) {
    arguments.first_strip = first_strip + done;
    GS_TRY(Record(commands, shader, constants, arguments, std::min(kMaxGroups, strip_count - done),
                  token_groups));
  }
  return {};
}

// A subgroup has 16 rows of a strip and 16 tokens.
Result<void> DeviceKernels::MatMulByMatrices(gpu::Commands& commands, const DeviceMatrix& matrix,
                                             uint32_t strip_count, MatMulArguments arguments) {
  const std::array<uint32_t, 3> constants = {matrix.tile_rows, matrix.tile_columns,
                                             tuning_.subgroup_size};
  const auto groups = static_cast<uint32_t>(DivCeil(matrix.tile_rows, kMatrixSide));
  const auto token_groups = static_cast<uint32_t>(DivCeil(arguments.token_count, kMatrixSide));
  const uint32_t most_strips = kMaxGroups / groups;
  for (uint32_t done = 0; done < strip_count; done += most_strips) {
    const uint32_t strips = std::min(most_strips, strip_count - done);
    GS_TRY(Record(commands, ShaderName("matmul_matrix", matrix.type), constants, arguments,
                  strips * groups, token_groups));
    arguments.first_strip += strips;
  }
  return {};
}

Result<void> DeviceKernels::PackRows(gpu::Commands& commands, uint32_t row_count,
                                     PackRowsArguments arguments) {
  const std::array<uint32_t, 1> constants = {GroupSize(64)};
  const auto groups = static_cast<uint32_t>(DivCeil(arguments.units, constants[0]));
  for (uint32_t done = 0; done < row_count;) {
    const uint32_t rows = std::min(kMaxGroups, row_count - done);
    GS_TRY(Record(commands, "pack_rows", constants, arguments, groups, rows));
    arguments.values += uint64_t{rows} * arguments.stride * sizeof(float);
    arguments.rows += uint64_t{rows} * arguments.units * kPackedUnitVectors * kPackedVectorBytes;
    done += rows;
  }
  return {};
}

Result<void> DeviceKernels::Gather(gpu::Commands& commands, const TensorLayout& layout,
                                   uint32_t token_count, const GatherArguments& arguments) {
  const uint32_t group = GroupSize(64);
  const bool row_major = layout.layout == MemoryLayout::kRowMajor;
  const std::array<uint32_t, 4> constants = {std::max(1u, layout.tile_rows),
                                             std::max(1u, layout.tile_columns), row_major ? 1u : 0u,
                                             group};
  const uint32_t unit = GetTensorType(layout.type).block_weights == 1 ? 1 : 32;
  const auto units = static_cast<uint32_t>(DivCeil(arguments.columns, unit));
  return Record(commands, ShaderName("gather", layout.type), constants, arguments,
                static_cast<uint32_t>(DivCeil(units, group)), token_count);
}

Result<void> DeviceKernels::RmsNorm(gpu::Commands& commands, uint32_t row_count,
                                    const RmsNormArguments& arguments) {
  const std::array<uint32_t, 1> constants = {GroupSize(256)};
  return Record(commands, "rms_norm", constants, arguments, row_count);
}

Result<void> DeviceKernels::PrepareHeads(gpu::Commands& commands, uint32_t token_count,
                                         const PrepareHeadsArguments& arguments) {
  const std::array<uint32_t, 6> constants = {
      GroupSize(64),  static_cast<uint32_t>(heads_.kv_type), heads_.key_length, heads_.value_length,
      heads_.rotated, heads_.adjacent_pairs ? 1u : 0u};
  return Record(commands, "prepare_heads", constants, arguments,
                arguments.head_count + 2 * arguments.head_count_kv, token_count);
}

Result<void> DeviceKernels::Attention(gpu::Commands& commands, uint32_t head_count,
                                      uint32_t token_count, const AttentionArguments& arguments) {
  const std::array<uint32_t, 4> constants = {GroupSize(128), static_cast<uint32_t>(heads_.kv_type),
                                             heads_.key_length, heads_.value_length};
  return Record(commands, "attention", constants, arguments, head_count, token_count);
}

Result<void> DeviceKernels::SwiGlu(gpu::Commands& commands, uint32_t row_count,
                                   SwiGluArguments arguments) {
  const std::array<uint32_t, 1> constants = {GroupSize(128)};
  const auto groups = static_cast<uint32_t>(DivCeil(arguments.width, constants[0]));
  for (uint32_t done = 0; done < row_count;) {
    const uint32_t rows = std::min(kMaxGroups, row_count - done);
    GS_TRY(Record(commands, "swiglu", constants, arguments, groups, rows));
    arguments.gate += uint64_t{rows} * arguments.stride * sizeof(float);
    arguments.up += uint64_t{rows} * arguments.stride * sizeof(float);
    done += rows;
  }
  return {};
}

Result<void> DeviceKernels::RouteExperts(gpu::Commands& commands, uint32_t token_count,
                                         const RouteExpertsArguments& arguments) {
  const std::array<uint32_t, 1> constants = {GroupSize(64)};
  return Record(commands, "route_experts", constants, arguments, token_count);
}

Result<void> DeviceKernels::CombineExperts(gpu::Commands& commands, uint32_t token_count,
                                           const CombineExpertsArguments& arguments) {
  const std::array<uint32_t, 1> constants = {GroupSize(128)};
  const auto groups = static_cast<uint32_t>(DivCeil(arguments.width, constants[0]));
  return Record(commands, "combine_experts", constants, arguments, groups, token_count);
}

}  // namespace gguf_shard
