// What every test that needs a Vulkan device uses: the device, and the validation layers, whose
// messages fail the test that caused them.
//
// The device is one of type cpu (lavapipe), so that tests compute the same everywhere;
// GGUF_SHARD_TEST_DEVICE=N takes another. Tests are skipped where there is none. One thread.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "gpu/device.h"

namespace gguf_shard::gpu {

class ValidationListener final : public ::testing::EmptyTestEventListener {
 public:
  void OnTestEnd(const ::testing::TestInfo&) override {
    const ValidationMessages messages = GetValidationMessages();
    if (messages.count == seen_) return;
    ADD_FAILURE() << "the validation layers said " << messages.count - seen_
                  << " things; the first of all was: " << messages.first;
    seen_ = messages.count;
  }

 private:
  uint64_t seen_ = 0;
};

// Before main: the layers run in release builds too.
inline const bool validation_listener_is_there = [] {
  setenv("GGUF_SHARD_VULKAN_VALIDATION", "1", /*replace=*/0);
  auto& listeners = ::testing::UnitTest::GetInstance()->listeners();
  auto* printer = listeners.Release(listeners.default_result_printer());
  listeners.Append(new ValidationListener);  // first, so that the printer knows of its failures
  listeners.Append(printer);
  return true;
}();

// -1 when there is none; `why` then says so.
inline int32_t FindTestDevice(std::string& why) {
  if (const char* wish = std::getenv("GGUF_SHARD_TEST_DEVICE")) return std::atoi(wish);
  for (const DeviceInfo& info : ListDevices(&why)) {
    if (info.type == DeviceType::kCpu && info.usable()) return static_cast<int32_t>(info.index);
    why = "there is no usable Vulkan device of type cpu (mesa-vulkan-drivers)";
  }
  return -1;
}

class VulkanTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string why;
    device_index_ = FindTestDevice(why);
    if (device_index_ < 0) GTEST_SKIP() << why;
    device_ = Open(0);
  }

  std::unique_ptr<Device> Open(uint64_t memory_limit_bytes,
                               const std::string& pipeline_cache_path = {}) const {
    DeviceOptions options;
    options.index = device_index_;
    options.memory_limit_bytes = memory_limit_bytes;
    options.pipeline_cache_path = pipeline_cache_path;
    auto device = Device::Open(options);
    EXPECT_TRUE(device) << device.error().ToString();
    return device ? std::move(*device) : nullptr;
  }

  int32_t device_index_ = -1;
  std::unique_ptr<Device> device_;
};

}  // namespace gguf_shard::gpu
