#include "gpu/pipeline_cache.h"

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "core/crc32.h"
#include "core/file.h"
#include "gpu/vulkan_error.h"
#include "gpu/vulkan_handles.h"

namespace gguf_shard::gpu {
namespace {

constexpr uint64_t kMaxCacheBytes = uint64_t{64} << 20;
constexpr char kMagic[8] = {'G', 'S', 'P', 'I', 'P', 'E', '0', '1'};

//   0         8           12          16           32            40
//   +---------+-----------+-----------+------------+-------------+-----------------+
//   | magic   | vendor    | device    | cache UUID | bytes, CRC  | the driver's    |
//   +---------+-----------+-----------+------------+-------------+-----------------+
struct FileHeader {
  char magic[8];
  uint32_t vendor_id;
  uint32_t device_id;
  uint8_t uuid[VK_UUID_SIZE];
  uint32_t byte_count;
  uint32_t crc;
};
static_assert(sizeof(FileHeader) == 40);

FileHeader HeaderFor(const DeviceHandles& handles, std::string_view data) {
  VkPhysicalDeviceProperties properties{};
  handles.functions.get_properties(handles.physical.handle, &properties);
  FileHeader header{};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.vendor_id = properties.vendorID;
  header.device_id = properties.deviceID;
  std::memcpy(header.uuid, properties.pipelineCacheUUID, VK_UUID_SIZE);
  header.byte_count = static_cast<uint32_t>(data.size());
  header.crc = Crc32(0, std::as_bytes(std::span(data)));
  return header;
}

// The driver's bytes, when the file is whole and of this driver. A driver checks its own header
// too, but not every driver survives damaged bytes behind it.
std::string ReadData(const DeviceHandles& handles) {
  if (handles.pipeline_cache_path.empty()) return {};
  auto text = ReadWholeFile(handles.pipeline_cache_path, kMaxCacheBytes);
  if (!text || text->size() <= sizeof(FileHeader)) return {};
  const std::string data = text->substr(sizeof(FileHeader));
  const FileHeader expected = HeaderFor(handles, data);
  if (std::memcmp(text->data(), &expected, sizeof expected) != 0) return {};
  return data;
}

}  // namespace

std::string DefaultPipelineCachePath() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  std::filesystem::path folder;
  if (cache != nullptr && *cache == '/') {
    folder = cache;
  } else if (home != nullptr && *home == '/') {
    folder = std::filesystem::path(home) / ".cache";
  } else {
    return {};
  }
  return (folder / "gguf-shard" / "pipelines.bin").string();
}

Result<void> LoadPipelineCache(DeviceHandles& handles) {
  const std::string data = ReadData(handles);
  VkPipelineCacheCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO;
  info.initialDataSize = data.size();
  info.pInitialData = data.data();
  const VkResult result =
      handles.vk.vkCreatePipelineCache(handles.device, &info, nullptr, &handles.pipeline_cache);
  if (result >= VK_SUCCESS || data.empty()) return CheckVulkan(result, "making a pipeline cache");
  info.initialDataSize = 0;  // a driver may refuse what it once wrote
  return CheckVulkan(
      handles.vk.vkCreatePipelineCache(handles.device, &info, nullptr, &handles.pipeline_cache),
      "making a pipeline cache");
}

void SavePipelineCache(const DeviceHandles& handles) {
  if (handles.pipeline_cache_path.empty()) return;
  size_t size = 0;
  if (handles.vk.vkGetPipelineCacheData(handles.device, handles.pipeline_cache, &size, nullptr) !=
          VK_SUCCESS ||
      size == 0 || size > kMaxCacheBytes - sizeof(FileHeader)) {
    return;
  }
  std::string data(size, '\0');
  if (handles.vk.vkGetPipelineCacheData(handles.device, handles.pipeline_cache, &size,
                                        data.data()) != VK_SUCCESS) {
    return;
  }
  data.resize(size);
  const FileHeader header = HeaderFor(handles, data);
  std::string text(reinterpret_cast<const char*>(&header), sizeof header);
  text += data;
  // Unchanged: nothing was compiled since.
  if (const auto old = ReadWholeFile(handles.pipeline_cache_path, kMaxCacheBytes);
      old && *old == text) {
    return;
  }
  std::error_code ignored;
  std::filesystem::create_directories(
      std::filesystem::path(handles.pipeline_cache_path).parent_path(), ignored);
  static_cast<void>(WriteWholeFile(handles.pipeline_cache_path, text, Overwrite::kAllow));
}

}  // namespace gguf_shard::gpu
