#include "gpu/kernel.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <vector>

#include "core/check.h"
#include "gpu/vulkan_error.h"
#include "gpu/vulkan_handles.h"

namespace gguf_shard::gpu {
namespace {

Result<void> CheckSubgroupSize(const DeviceInfo& info, uint32_t size) {
  if (size == 0 || size == info.subgroup_size) return {};
  if (std::has_single_bit(size) && size >= info.min_subgroup_size &&
      size <= info.max_subgroup_size) {
    return {};
  }
  return Fail(Error(ErrorCode::kUnsupported, "the device has no subgroups of that size")
                  .Expected(fmt::format("{} to {}", info.min_subgroup_size, info.max_subgroup_size))
                  .Found(size));
}

Result<VkPipelineLayout> CreateLayout(const DeviceHandles& device, uint32_t push_constant_bytes) {
  const VkPushConstantRange range{VK_SHADER_STAGE_COMPUTE_BIT, 0, push_constant_bytes};
  VkPipelineLayoutCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO;
  info.pushConstantRangeCount = push_constant_bytes > 0 ? 1 : 0;
  info.pPushConstantRanges = &range;
  VkPipelineLayout layout = VK_NULL_HANDLE;
  GS_TRY(CheckVulkan(device.vk.vkCreatePipelineLayout(device.device, &info, nullptr, &layout),
                     "creating a pipeline layout"));
  return layout;
}

Result<VkShaderModule> CreateModule(const DeviceHandles& device, const Shader& shader) {
  VkShaderModuleCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO;
  info.codeSize = shader.words.size_bytes();
  info.pCode = shader.words.data();
  VkShaderModule module = VK_NULL_HANDLE;
  GS_TRY(CheckVulkan(device.vk.vkCreateShaderModule(device.device, &info, nullptr, &module),
                     fmt::format("loading the shader {}", shader.name)));
  return module;
}

std::vector<VkSpecializationMapEntry> MapSpecialization(size_t count) {
  std::vector<VkSpecializationMapEntry> entries;
  for (uint32_t i = 0; i < count; ++i) entries.push_back({i, i * 4, 4});
  return entries;
}

Result<VkPipeline> CreatePipeline(const DeviceHandles& device, VkShaderModule module,
                                  VkPipelineLayout layout, const Shader& shader,
                                  const KernelOptions& options) {
  const auto entries = MapSpecialization(options.specialization.size());
  const VkSpecializationInfo specialization{static_cast<uint32_t>(entries.size()), entries.data(),
                                            options.specialization.size_bytes(),
                                            options.specialization.data()};
  const DeviceInfo& info = device.physical.info;
  const bool can_require = info.min_subgroup_size != info.max_subgroup_size;
  VkPipelineShaderStageRequiredSubgroupSizeCreateInfo required{};
  required.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO;
  required.requiredSubgroupSize = options.subgroup_size;

  VkComputePipelineCreateInfo create{};
  create.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO;
  create.stage.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO;
  create.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT;
  create.stage.module = module;
  create.stage.pName = "main";
  if (!entries.empty()) create.stage.pSpecializationInfo = &specialization;
  if (options.subgroup_size != 0 && can_require) {
    create.stage.flags = VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT;
    create.stage.pNext = &required;
  }
  create.layout = layout;
  VkPipeline pipeline = VK_NULL_HANDLE;
  GS_TRY(CheckVulkan(device.vk.vkCreateComputePipelines(device.device, device.pipeline_cache, 1,
                                                        &create, nullptr, &pipeline),
                     fmt::format("compiling the shader {}", shader.name)));
  return pipeline;
}

}  // namespace

Kernel::Kernel() : handles_(std::make_unique<KernelHandles>()) {}
Kernel::Kernel(Kernel&& other) noexcept = default;
Kernel& Kernel::operator=(Kernel&& other) noexcept = default;
Kernel::~Kernel() = default;

Result<Kernel> Kernel::Create(Device& device, const Shader& shader, const KernelOptions& options) {
  GS_CHECK(options.push_constant_bytes <= kMaxPushConstantBytes);
  GS_CHECK(options.push_constant_bytes % 4 == 0);
  GS_TRY(CheckSubgroupSize(device.info(), options.subgroup_size));
  const DeviceHandles& handles = device.handles();
  Kernel kernel;
  kernel.push_constant_bytes_ = options.push_constant_bytes;
  kernel.handles_->device = &handles;
  GS_ASSIGN(kernel.handles_->layout, CreateLayout(handles, options.push_constant_bytes));
  GS_ASSIGN(const VkShaderModule module, CreateModule(handles, shader));
  auto pipeline = CreatePipeline(handles, module, kernel.handles_->layout, shader, options);
  handles.vk.vkDestroyShaderModule(handles.device, module, nullptr);
  GS_TRY(pipeline);
  kernel.handles_->pipeline = *pipeline;
  return kernel;
}

const Shader& FindShader(std::span<const Shader> shaders, std::string_view name) {
  const auto found = std::find_if(shaders.begin(), shaders.end(),
                                  [&](const Shader& shader) { return shader.name == name; });
  GS_CHECK(found != shaders.end());
  return *found;
}

}  // namespace gguf_shard::gpu
