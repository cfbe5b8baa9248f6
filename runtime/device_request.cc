#include "runtime/device_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <span>
#include <vector>

#include "gpu/device.h"

namespace gguf_shard {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kVulkanPrefix = "vulkan:";

Error BadDevice(std::string_view text) {
  return Error(ErrorCode::kInvalidArgument, "--device names no kind of device")
      .Expected("auto, cpu, vulkan or vulkan:N")
      .Found(std::string(text));
}

// Opening the loader brings in every driver, lavapipe's compiler too: tens of megabytes that the
// memory budget would have to count. Where no graphics processor has a node, there is none.
bool SystemHasGraphicsProcessor() {
  std::error_code error;
  for (const char* node : {"/dev/nvidiactl", "/dev/dxg", "/dev/kgsl-3d0", "/dev/mali0"}) {
    if (fs::exists(node, error)) return true;
  }
  const fs::directory_iterator nodes("/dev/dri", error);
  if (error) return false;
  return std::any_of(begin(nodes), end(nodes), [](const fs::directory_entry& node) {
    return node.path().filename().string().starts_with("renderD");
  });
}

// How much a device is preferred; 0: not at all.
int Rank(const gpu::DeviceInfo& device, bool processors_too) {
  if (!device.usable()) return 0;
  switch (device.type) {
    case gpu::DeviceType::kDiscrete:
      return 5;
    case gpu::DeviceType::kIntegrated:
      return 4;
    case gpu::DeviceType::kVirtual:
      return 3;
    case gpu::DeviceType::kOther:
      return processors_too ? 2 : 0;
    case gpu::DeviceType::kCpu:
      return processors_too ? 1 : 0;
  }
  return 0;
}

std::optional<uint32_t> BestDevice(std::span<const gpu::DeviceInfo> devices, bool processors_too) {
  const auto best =
      std::max_element(devices.begin(), devices.end(), [&](const auto& a, const auto& b) {
        return Rank(a, processors_too) < Rank(b, processors_too);
      });
  if (best == devices.end() || Rank(*best, processors_too) == 0) return std::nullopt;
  return best->index;
}

Result<std::optional<uint32_t>> ChooseVulkan(const DeviceRequest& request) {
  std::string why_none;
  const auto devices = gpu::ListDevices(&why_none);
  if (devices.empty()) return Fail(ErrorCode::kDevice, "there is no Vulkan device: " + why_none);
  if (request.index < 0) {
    const auto best = BestDevice(devices, true);
    if (best) return best;
    return Fail(ErrorCode::kDevice,
                fmt::format("no Vulkan device can be used: {}", devices.front().refusal));
  }
  const auto index = static_cast<uint32_t>(request.index);
  const auto found = std::ranges::find(devices, index, &gpu::DeviceInfo::index);
  if (found == devices.end()) {
    return Fail(Error(ErrorCode::kDevice, "there is no Vulkan device of that number")
                    .Expected(fmt::format("0 to {}", devices.size() - 1))
                    .Found(index));
  }
  if (!found->usable()) {
    return Fail(ErrorCode::kDevice,
                fmt::format("Vulkan device {} cannot be used: {}", index, found->refusal));
  }
  return index;
}

}  // namespace

Result<DeviceRequest> ParseDevice(std::string_view text) {
  DeviceRequest request;
  if (text == "cpu") return request;
  if (text == "auto") {
    request.choice = DeviceChoice::kAuto;
    return request;
  }
  request.choice = DeviceChoice::kVulkan;
  if (text == "vulkan") return request;
  if (!text.starts_with(kVulkanPrefix)) return Fail(BadDevice(text));
  const std::string_view number = text.substr(kVulkanPrefix.size());
  const char* const end = number.data() + number.size();
  const auto parsed = std::from_chars(number.data(), end, request.index);
  if (parsed.ec != std::errc() || parsed.ptr != end || request.index < 0) {
    return Fail(BadDevice(text));
  }
  return request;
}

Result<DeviceMath> ParseDeviceMath(std::string_view text) {
  if (text == "auto") return DeviceMath::kAuto;
  if (text == "float") return DeviceMath::kFloat;
  if (text == "integer") return DeviceMath::kInteger;
  if (text == "matrix") return DeviceMath::kMatrix;
  return Fail(Error(ErrorCode::kInvalidArgument, "there is no such way to multiply on a device")
                  .Expected("auto, float, integer, matrix")
                  .Found(std::string(text)));
}

Result<std::optional<uint32_t>> ChooseDevice(const DeviceRequest& request) {
  if (request.choice == DeviceChoice::kCpu || request.gpu_layers == 0u) return std::nullopt;
  if (request.choice == DeviceChoice::kVulkan) return ChooseVulkan(request);
  if (!SystemHasGraphicsProcessor()) return std::nullopt;
  return BestDevice(gpu::ListDevices(), false);
}

}  // namespace gguf_shard
