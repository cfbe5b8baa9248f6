#define VOLK_IMPLEMENTATION
#include "gpu/vulkan_instance.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>

#include "gpu/device.h"
#include "gpu/vulkan_error.h"

namespace gguf_shard::gpu {
namespace {

constexpr const char* kValidationLayer = "VK_LAYER_KHRONOS_validation";

std::mutex messages_mutex;
ValidationMessages messages;  // guarded by messages_mutex

VKAPI_ATTR VkBool32 VKAPI_CALL NoteMessage(VkDebugUtilsMessageSeverityFlagBitsEXT,
                                           VkDebugUtilsMessageTypeFlagsEXT,
                                           const VkDebugUtilsMessengerCallbackDataEXT* data,
                                           void*) {
  const std::lock_guard lock(messages_mutex);
  if (messages.count++ == 0 && data != nullptr && data->pMessage != nullptr) {
    messages.first = data->pMessage;
  }
  return VK_FALSE;
}

VkDebugUtilsMessengerCreateInfoEXT MessengerInfo() {
  VkDebugUtilsMessengerCreateInfoEXT info{};
  info.sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT;
  info.messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT |
                         VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT;
  info.messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT;
  info.pfnUserCallback = NoteMessage;
  return info;
}

bool ValidationIsWanted() {
  const char* wish = std::getenv("GGUF_SHARD_VULKAN_VALIDATION");
  if (wish != nullptr && *wish != '\0') return std::string_view(wish) != "0";
#ifdef NDEBUG
  return false;
#else
  return true;
#endif
}

bool LayerIsInstalled() {
  uint32_t count = 0;
  vkEnumerateInstanceLayerProperties(&count, nullptr);
  std::vector<VkLayerProperties> layers(count);
  vkEnumerateInstanceLayerProperties(&count, layers.data());
  return std::any_of(layers.begin(), layers.end(), [](const VkLayerProperties& layer) {
    return std::strcmp(layer.layerName, kValidationLayer) == 0;
  });
}

// A function by its name, as its type.
template <typename Function>
bool LoadFunction(PFN_vkGetInstanceProcAddr get, VkInstance instance, const char* name,
                  Function& function) {
  function = reinterpret_cast<Function>(get(instance, name));
  return function != nullptr;
}

}  // namespace

ValidationMessages GetValidationMessages() {
  const std::lock_guard lock(messages_mutex);
  return messages;
}

Result<InstanceFunctions> InstanceFunctions::Load(PFN_vkGetInstanceProcAddr get,
                                                  VkInstance instance) {
  InstanceFunctions f;
  const auto load = [&](const char* name, auto& function) {
    return LoadFunction(get, instance, name, function);
  };
  const bool complete =
      load("vkEnumeratePhysicalDevices", f.enumerate_physical_devices) &&
      load("vkEnumerateDeviceExtensionProperties", f.enumerate_device_extensions) &&
      load("vkGetPhysicalDeviceProperties", f.get_properties) &&
      load("vkGetPhysicalDeviceProperties2", f.get_properties2) &&
      load("vkGetPhysicalDeviceFeatures2", f.get_features2) &&
      load("vkGetPhysicalDeviceMemoryProperties2", f.get_memory_properties2) &&
      load("vkGetPhysicalDeviceQueueFamilyProperties", f.get_queue_families) &&
      load("vkCreateDevice", f.create_device) &&
      load("vkGetDeviceProcAddr", f.get_device_proc_addr);
  load("vkGetPhysicalDeviceCooperativeMatrixPropertiesNV", f.get_cooperative_matrices);
  if (!complete) return Fail(ErrorCode::kDevice, "the Vulkan instance is older than version 1.1");
  return f;
}

VolkDeviceTable InstanceFunctions::LoadDevice(VkDevice device) const {
  // volk reads vkGetDeviceProcAddr from its global.
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  vkGetDeviceProcAddr = get_device_proc_addr;
  VolkDeviceTable table{};
  volkLoadDeviceTable(&table, device);
  return table;
}

Result<PFN_vkGetInstanceProcAddr> LoaderEntryPoint() {
  static const VkResult result = volkInitialize();  // opens the library, once
  if (result != VK_SUCCESS) {
    return Fail(ErrorCode::kDevice, "there is no Vulkan loader (libvulkan.so.1) on this system");
  }
  return vkGetInstanceProcAddr;
}

Result<std::shared_ptr<Instance>> Instance::Get() {
  static std::mutex mutex;
  static std::weak_ptr<Instance> current;
  const std::lock_guard lock(mutex);
  if (auto instance = current.lock()) return instance;
  std::shared_ptr<Instance> instance(new Instance);
  GS_TRY(instance->Create());
  current = instance;
  return instance;
}

Result<void> Instance::Create() {
  GS_ASSIGN(const auto get, LoaderEntryPoint());
  with_validation_ = ValidationIsWanted() && LayerIsInstalled();

  VkApplicationInfo application{};
  application.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO;
  application.pApplicationName = "gguf-shard";
  application.apiVersion = VK_API_VERSION_1_3;
  const VkDebugUtilsMessengerCreateInfoEXT messenger = MessengerInfo();
  const char* extension = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
  VkInstanceCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO;
  info.pApplicationInfo = &application;
  if (with_validation_) {
    info.pNext = &messenger;  // what is said while the instance is made and destroyed
    info.enabledLayerCount = 1;
    info.ppEnabledLayerNames = &kValidationLayer;
    info.enabledExtensionCount = 1;
    info.ppEnabledExtensionNames = &extension;
  }
  GS_TRY(CheckVulkan(vkCreateInstance(&info, nullptr, &handle_), "opening Vulkan"));
  LoadFunction(get, handle_, "vkDestroyInstance", destroy_);
  GS_ASSIGN(functions_, InstanceFunctions::Load(get, handle_));
  if (!with_validation_) return {};
  PFN_vkCreateDebugUtilsMessengerEXT create_messenger = nullptr;
  LoadFunction(get, handle_, "vkDestroyDebugUtilsMessengerEXT", destroy_messenger_);
  if (!LoadFunction(get, handle_, "vkCreateDebugUtilsMessengerEXT", create_messenger)) return {};
  {
    const std::lock_guard lock(messages_mutex);
    messages.active = true;
  }
  return CheckVulkan(create_messenger(handle_, &messenger, nullptr, &messenger_),
                     "listening to the validation layers");
}

Instance::~Instance() {
  if (messenger_ != VK_NULL_HANDLE && destroy_messenger_ != nullptr) {
    destroy_messenger_(handle_, messenger_, nullptr);
  }
  if (handle_ != VK_NULL_HANDLE && destroy_ != nullptr) destroy_(handle_, nullptr);
}

Result<std::vector<VkPhysicalDevice>> Instance::PhysicalDevices() const {
  uint32_t count = 0;
  GS_TRY(CheckVulkan(functions_.enumerate_physical_devices(handle_, &count, nullptr),
                     "listing Vulkan devices"));
  std::vector<VkPhysicalDevice> devices(count);
  GS_TRY(CheckVulkan(functions_.enumerate_physical_devices(handle_, &count, devices.data()),
                     "listing Vulkan devices"));
  devices.resize(count);
  return devices;
}

}  // namespace gguf_shard::gpu
