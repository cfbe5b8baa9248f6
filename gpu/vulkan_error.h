// The one place where a VkResult becomes an Error. Pure functions.
#pragma once

#include <volk.h>

#include <string_view>

#include "core/error.h"

namespace gguf_shard::gpu {

// "VK_ERROR_DEVICE_LOST"; "VkResult -1000" for those without a name here.
std::string VulkanResultName(VkResult result);

// Nothing for a result that is no error (VK_SUCCESS and the positive ones); else kOutOfMemory or
// kDevice: "`action` failed: VK_ERROR_...". The action reads "creating a buffer".
Result<void> CheckVulkan(VkResult result, std::string_view action);

}  // namespace gguf_shard::gpu
