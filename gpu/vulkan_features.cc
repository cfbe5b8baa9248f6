#include "gpu/vulkan_features.h"

#include <algorithm>
#include <utility>

namespace gguf_shard::gpu {
namespace {

bool Contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool KnowsSubgroupSize(uint32_t api_version, const std::vector<std::string>& extensions) {
  return api_version >= VK_API_VERSION_1_3 ||
         Contains(extensions, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME);
}

bool KnowsIntegerDot(uint32_t api_version, const std::vector<std::string>& extensions) {
  return api_version >= VK_API_VERSION_1_3 ||
         Contains(extensions, VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME);
}

bool KnowsBufferLimit(uint32_t api_version, const std::vector<std::string>& extensions) {
  return api_version >= VK_API_VERSION_1_3 ||
         Contains(extensions, VK_KHR_MAINTENANCE_4_EXTENSION_NAME);
}

// Puts `part` at the head of the chain that starts behind `first`.
template <typename First, typename Part>
void Link(First& first, Part& part, VkStructureType type) {
  part.sType = type;
  part.pNext = std::exchange(first.pNext, &part);
}

std::vector<std::string> ExtensionsOf(const InstanceFunctions& functions, VkPhysicalDevice handle) {
  uint32_t count = 0;
  functions.enumerate_device_extensions(handle, nullptr, &count, nullptr);
  std::vector<VkExtensionProperties> properties(count);
  functions.enumerate_device_extensions(handle, nullptr, &count, properties.data());
  std::vector<std::string> names;
  for (const VkExtensionProperties& extension : properties) {
    names.emplace_back(extension.extensionName);
  }
  return names;
}

DeviceType TypeOf(VkPhysicalDeviceType type) {
  switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
      return DeviceType::kDiscrete;
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
      return DeviceType::kIntegrated;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
      return DeviceType::kVirtual;
    case VK_PHYSICAL_DEVICE_TYPE_CPU:
      return DeviceType::kCpu;
    default:
      return DeviceType::kOther;
  }
}

void DescribeProperties(const InstanceFunctions& functions, PhysicalDevice& device) {
  VkPhysicalDeviceProperties2 base{};
  base.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2;
  VkPhysicalDeviceVulkan11Properties vulkan11{};
  VkPhysicalDeviceVulkan12Properties vulkan12{};
  VkPhysicalDeviceSubgroupSizeControlProperties subgroup{};
  VkPhysicalDeviceMaintenance4Properties limits{};
  VkPhysicalDeviceExternalMemoryHostPropertiesEXT import{};
  VkPhysicalDeviceShaderIntegerDotProductProperties dot{};
  Link(base, vulkan11, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_PROPERTIES);
  Link(base, vulkan12, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_PROPERTIES);
  const bool knows_subgroup = KnowsSubgroupSize(device.api_version, device.extensions);
  if (knows_subgroup) {
    Link(base, subgroup, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES);
  }
  const bool knows_limit = KnowsBufferLimit(device.api_version, device.extensions);
  if (knows_limit) {
    Link(base, limits, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_PROPERTIES);
  }
  const bool imports = device.Has(VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME);
  if (imports) {
    Link(base, import, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_MEMORY_HOST_PROPERTIES_EXT);
  }
  if (KnowsIntegerDot(device.api_version, device.extensions)) {
    Link(base, dot, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_PROPERTIES);
  }
  functions.get_properties2(device.handle, &base);

  DeviceInfo& info = device.info;
  info.driver = vulkan12.driverName;
  if (vulkan12.driverInfo[0] != '\0') info.driver += std::string(" ") + vulkan12.driverInfo;
  info.max_allocation_bytes = vulkan11.maxMemoryAllocationSize;
  info.max_buffer_bytes = knows_limit ? limits.maxBufferSize : vulkan11.maxMemoryAllocationSize;
  info.subgroup_size = vulkan11.subgroupSize;
  info.min_subgroup_size = knows_subgroup ? subgroup.minSubgroupSize : vulkan11.subgroupSize;
  info.max_subgroup_size = knows_subgroup ? subgroup.maxSubgroupSize : vulkan11.subgroupSize;
  info.shared_memory_bytes = base.properties.limits.maxComputeSharedMemorySize;
  info.max_workgroup_invocations = base.properties.limits.maxComputeWorkGroupInvocations;
  info.imports_host_memory = imports;
  info.fast_integer_dot = dot.integerDotProduct4x8BitPackedSignedAccelerated != VK_FALSE;
  device.import_alignment_bytes = import.minImportedHostPointerAlignment;
}

// The largest device-local heap, and whether the host can see all of it.
void DescribeMemory(const InstanceFunctions& functions, PhysicalDevice& device) {
  VkPhysicalDeviceMemoryProperties2 memory{};
  memory.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2;
  VkPhysicalDeviceMemoryBudgetPropertiesEXT budget{};
  device.info.has_memory_budget = device.Has(VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
  if (device.info.has_memory_budget) {
    Link(memory, budget, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT);
  }
  functions.get_memory_properties2(device.handle, &memory);
  device.memory = memory.memoryProperties;

  uint32_t largest = 0;
  for (uint32_t i = 0; i < device.memory.memoryHeapCount; ++i) {
    const VkMemoryHeap& heap = device.memory.memoryHeaps[i];
    if ((heap.flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) == 0) continue;
    if (heap.size <= device.info.local_memory_bytes) continue;
    device.info.local_memory_bytes = heap.size;
    largest = i;
  }
  device.info.free_memory_bytes = device.info.local_memory_bytes;
  if (device.info.has_memory_budget) {
    const VkDeviceSize used = budget.heapUsage[largest];
    device.info.free_memory_bytes =
        budget.heapBudget[largest] > used ? budget.heapBudget[largest] - used : 0;
  }
  constexpr VkMemoryPropertyFlags kMapped = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT |
                                            VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT |
                                            VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
  const bool shares_host_memory =
      device.info.type == DeviceType::kIntegrated || device.info.type == DeviceType::kCpu;
  for (uint32_t i = 0; i < device.memory.memoryTypeCount; ++i) {
    const VkMemoryType& type = device.memory.memoryTypes[i];
    if (type.heapIndex == largest && (type.propertyFlags & kMapped) == kMapped) {
      device.info.unified_memory = shares_host_memory;
    }
  }
}

// A family for compute; one for copies that computes nothing, where there is one.
bool DescribeQueues(const InstanceFunctions& functions, PhysicalDevice& device) {
  uint32_t count = 0;
  functions.get_queue_families(device.handle, &count, nullptr);
  std::vector<VkQueueFamilyProperties> families(count);
  functions.get_queue_families(device.handle, &count, families.data());
  bool computes = false;
  for (uint32_t i = 0; i < count && !computes; ++i) {
    if ((families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) == 0) continue;
    device.compute_family = i;
    device.compute_queue_count = families[i].queueCount;
    computes = true;
  }
  device.transfer_family = device.compute_family;
  constexpr VkQueueFlags kComputes = VK_QUEUE_COMPUTE_BIT | VK_QUEUE_GRAPHICS_BIT;
  for (uint32_t i = 0; i < count && !device.info.has_transfer_queue; ++i) {
    if ((families[i].queueFlags & VK_QUEUE_TRANSFER_BIT) == 0) continue;
    if ((families[i].queueFlags & kComputes) != 0) continue;
    device.transfer_family = i;
    device.info.has_transfer_queue = true;
  }
  return computes;
}

// Whether subgroups multiply 16 x 16 matrices of f16 and add in f32.
bool HasMatrices(const InstanceFunctions& functions, VkPhysicalDevice handle) {
  if (functions.get_cooperative_matrices == nullptr) return false;
  uint32_t count = 0;
  functions.get_cooperative_matrices(handle, &count, nullptr);
  VkCooperativeMatrixPropertiesNV empty{};
  empty.sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_NV;
  std::vector<VkCooperativeMatrixPropertiesNV> offered(count, empty);
  functions.get_cooperative_matrices(handle, &count, offered.data());
  return std::any_of(offered.begin(), offered.end(), [](const auto& matrix) {
    return matrix.MSize == 16 && matrix.NSize == 16 && matrix.KSize == 16 &&
           matrix.AType == VK_COMPONENT_TYPE_FLOAT16_NV &&
           matrix.BType == VK_COMPONENT_TYPE_FLOAT16_NV &&
           matrix.CType == VK_COMPONENT_TYPE_FLOAT32_NV &&
           matrix.DType == VK_COMPONENT_TYPE_FLOAT32_NV && matrix.scope == VK_SCOPE_SUBGROUP_NV;
  });
}

std::string DescribeFeatures(const InstanceFunctions& functions, PhysicalDevice& device) {
  FeatureChain offered(device.api_version, device.extensions);
  functions.get_features2(device.handle, &offered.core);
  device.info.integer_dot_product = offered.integer_dot.shaderIntegerDotProduct != VK_FALSE;
  device.info.cooperative_matrix = offered.cooperative_matrix.cooperativeMatrix != VK_FALSE &&
                                   offered.vulkan12.shaderFloat16 != VK_FALSE &&
                                   offered.vulkan12.vulkanMemoryModel != VK_FALSE &&
                                   HasMatrices(functions, device.handle);
  device.info.float16 = offered.vulkan12.shaderFloat16 != VK_FALSE;
  if (offered.subgroup_size.subgroupSizeControl == VK_FALSE ||
      offered.subgroup_size.computeFullSubgroups == VK_FALSE) {
    device.info.min_subgroup_size = device.info.max_subgroup_size = device.info.subgroup_size;
  }
  if (offered.vulkan12.bufferDeviceAddress == VK_FALSE) {
    return "it has no buffer device addresses (bufferDeviceAddress)";
  }
  if (offered.vulkan12.timelineSemaphore == VK_FALSE) {
    return "it has no timeline semaphores (timelineSemaphore)";
  }
  return {};
}

}  // namespace

FeatureChain::FeatureChain(uint32_t api_version, const std::vector<std::string>& extensions) {
  core.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
  Link(core, vulkan11, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES);
  Link(core, vulkan12, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES);
  if (KnowsSubgroupSize(api_version, extensions)) {
    Link(core, subgroup_size, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES);
  }
  if (KnowsIntegerDot(api_version, extensions)) {
    Link(core, integer_dot, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES);
  }
  if (Contains(extensions, VK_NV_COOPERATIVE_MATRIX_EXTENSION_NAME)) {
    Link(core, cooperative_matrix,
         VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_NV);
  }
}

void SwitchOn(const FeatureChain& offered, FeatureChain& wanted) {
  wanted.core.features.shaderInt64 = offered.core.features.shaderInt64;
  wanted.core.features.shaderInt16 = offered.core.features.shaderInt16;
  wanted.vulkan11.storageBuffer16BitAccess = offered.vulkan11.storageBuffer16BitAccess;
  wanted.vulkan12.storageBuffer8BitAccess = offered.vulkan12.storageBuffer8BitAccess;
  wanted.vulkan12.shaderFloat16 = offered.vulkan12.shaderFloat16;
  wanted.vulkan12.shaderInt8 = offered.vulkan12.shaderInt8;
  wanted.vulkan12.scalarBlockLayout = offered.vulkan12.scalarBlockLayout;
  wanted.vulkan12.shaderSubgroupExtendedTypes = offered.vulkan12.shaderSubgroupExtendedTypes;
  wanted.vulkan12.vulkanMemoryModel = offered.vulkan12.vulkanMemoryModel;
  wanted.vulkan12.vulkanMemoryModelDeviceScope = offered.vulkan12.vulkanMemoryModelDeviceScope;
  wanted.vulkan12.bufferDeviceAddress = VK_TRUE;
  wanted.vulkan12.timelineSemaphore = VK_TRUE;
  wanted.subgroup_size.subgroupSizeControl = offered.subgroup_size.subgroupSizeControl;
  wanted.subgroup_size.computeFullSubgroups = offered.subgroup_size.computeFullSubgroups;
  wanted.integer_dot.shaderIntegerDotProduct = offered.integer_dot.shaderIntegerDotProduct;
  wanted.cooperative_matrix.cooperativeMatrix = offered.cooperative_matrix.cooperativeMatrix;
}

bool PhysicalDevice::Has(std::string_view extension) const {
  return Contains(extensions, extension);
}

PhysicalDevice DescribeDevice(const InstanceFunctions& functions, VkPhysicalDevice handle,
                              uint32_t index) {
  PhysicalDevice device;
  device.handle = handle;
  VkPhysicalDeviceProperties properties{};
  functions.get_properties(handle, &properties);
  device.api_version = std::min(properties.apiVersion, uint32_t{VK_API_VERSION_1_3});
  device.info.index = index;
  device.info.name = properties.deviceName;
  device.info.type = TypeOf(properties.deviceType);
  if (properties.apiVersion < VK_API_VERSION_1_2) {
    device.info.refusal = "it speaks Vulkan 1." +
                          std::to_string(VK_API_VERSION_MINOR(properties.apiVersion)) +
                          "; 1.2 is needed";
    return device;
  }
  device.extensions = ExtensionsOf(functions, handle);
  DescribeProperties(functions, device);
  DescribeMemory(functions, device);
  const bool computes = DescribeQueues(functions, device);
  device.info.refusal = DescribeFeatures(functions, device);
  if (!computes) device.info.refusal = "it has no queue that computes";
  return device;
}

std::vector<const char*> WantedExtensions(const PhysicalDevice& device) {
  std::vector<const char*> wanted;
  // Where they are a part of Vulkan 1.3 they need no switching on, but may be named.
  for (const char* name :
       {VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME,
        VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME,
        VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME,
        VK_NV_COOPERATIVE_MATRIX_EXTENSION_NAME}) {
    if (device.Has(name)) wanted.push_back(name);
  }
  return wanted;
}

}  // namespace gguf_shard::gpu
