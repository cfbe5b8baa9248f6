// The process's connection to Vulkan: libvulkan opened at run time, one instance, and the messages
// of the validation layers. The instance lives while somebody holds it, and is made again after.
// Thread-safe.
#pragma once

#include <volk.h>

#include <memory>
#include <vector>

#include "core/error.h"

namespace gguf_shard::gpu {

// The instance-level functions that this module calls. Loaded per instance, so that instances of a
// caller's (Adopt) and our own do not share what volk keeps in globals.
struct InstanceFunctions {
  PFN_vkEnumeratePhysicalDevices enumerate_physical_devices = nullptr;
  PFN_vkEnumerateDeviceExtensionProperties enumerate_device_extensions = nullptr;
  PFN_vkGetPhysicalDeviceProperties get_properties = nullptr;
  PFN_vkGetPhysicalDeviceProperties2 get_properties2 = nullptr;
  PFN_vkGetPhysicalDeviceFeatures2 get_features2 = nullptr;
  PFN_vkGetPhysicalDeviceMemoryProperties2 get_memory_properties2 = nullptr;
  PFN_vkGetPhysicalDeviceQueueFamilyProperties get_queue_families = nullptr;
  PFN_vkCreateDevice create_device = nullptr;
  PFN_vkGetDeviceProcAddr get_device_proc_addr = nullptr;
  // Null where no driver has the extension.
  PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesNV get_cooperative_matrices = nullptr;

  // kDevice when the instance lacks one of them (Vulkan 1.0).
  static Result<InstanceFunctions> Load(PFN_vkGetInstanceProcAddr get, VkInstance instance);
  // All device-level functions, past the loader's dispatch.
  VolkDeviceTable LoadDevice(VkDevice device) const;
};

// The loader's entry point; kDevice when there is no libvulkan.
Result<PFN_vkGetInstanceProcAddr> LoaderEntryPoint();

class Instance {
 public:
  static Result<std::shared_ptr<Instance>> Get();
  ~Instance();
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  VkInstance handle() const { return handle_; }
  const InstanceFunctions& functions() const { return functions_; }
  Result<std::vector<VkPhysicalDevice>> PhysicalDevices() const;

 private:
  Instance() = default;
  Result<void> Create();
  bool with_validation_ = false;
  VkInstance handle_ = VK_NULL_HANDLE;
  VkDebugUtilsMessengerEXT messenger_ = VK_NULL_HANDLE;
  InstanceFunctions functions_;
  PFN_vkDestroyInstance destroy_ = nullptr;
  PFN_vkDestroyDebugUtilsMessengerEXT destroy_messenger_ = nullptr;
};

}  // namespace gguf_shard::gpu
