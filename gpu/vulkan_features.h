// What a physical device offers and what this program switches on: one list, for listing devices,
// refusing them, and creating them. Values; thread-safe.
#pragma once

#include <volk.h>

#include <string>
#include <string_view>
#include <vector>

#include "gpu/device.h"
#include "gpu/vulkan_instance.h"

namespace gguf_shard::gpu {

// The chain of feature structures. Not movable: its parts point at each other.
struct FeatureChain {
  // Links the parts that the device knows.
  FeatureChain(uint32_t api_version, const std::vector<std::string>& extensions);
  FeatureChain(const FeatureChain&) = delete;
  FeatureChain& operator=(const FeatureChain&) = delete;

  VkPhysicalDeviceFeatures2 core{};
  VkPhysicalDeviceVulkan11Features vulkan11{};
  VkPhysicalDeviceVulkan12Features vulkan12{};
  VkPhysicalDeviceSubgroupSizeControlFeatures subgroup_size{};
  VkPhysicalDeviceShaderIntegerDotProductFeatures integer_dot{};
  VkPhysicalDeviceCooperativeMatrixFeaturesNV cooperative_matrix{};
};

// The parts of `wanted` that we use, out of what the device `offered`.
void SwitchOn(const FeatureChain& offered, FeatureChain& wanted);

struct PhysicalDevice {
  VkPhysicalDevice handle = VK_NULL_HANDLE;
  uint32_t api_version = 0;  // of the device, at most the instance's
  std::vector<std::string> extensions;
  VkPhysicalDeviceMemoryProperties memory{};
  uint32_t compute_family = 0;
  uint32_t compute_queue_count = 1;
  uint32_t transfer_family = 0;  // the compute family where there is no other
  uint64_t import_alignment_bytes = 0;
  DeviceInfo info;

  bool Has(std::string_view extension) const;
};

// Never fails: what makes a device unusable is in info.refusal.
PhysicalDevice DescribeDevice(const InstanceFunctions& functions, VkPhysicalDevice handle,
                              uint32_t index);

// Extensions of ours that the device has.
std::vector<const char*> WantedExtensions(const PhysicalDevice& device);

}  // namespace gguf_shard::gpu
