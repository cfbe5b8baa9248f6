// A Vulkan device for tests of the shaders (a GPU, or lavapipe), with memory that the host reads
// and writes. Tests are skipped where there is none; a message of the validation layers fails them.
// A suite's tests share the device and what it has compiled: both cost more than most tests.
// For one thread.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <memory>
#include <span>
#include <tuple>
#include <vector>

#include "gpu/buffer.h"
#include "gpu/device.h"
#include "gpu/queue.h"
#include "kernels/vulkan/device_kernels.h"

namespace gguf_shard {

class DeviceTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (gpu::ListDevices().empty()) return;
    auto device = gpu::Device::Open({});
    ASSERT_TRUE(device) << device.error().ToString();
    device_ = std::move(*device);
  }
  static void TearDownTestSuite() {
    const uint64_t messages_before = gpu::GetValidationMessages().count;
    kernels_.clear();
    device_.reset();
    ExpectNoMessagesSince(messages_before);
  }

  void SetUp() override {
    if (gpu::ListDevices().empty()) GTEST_SKIP() << "there is no Vulkan device";
    ASSERT_NE(device_, nullptr);
    messages_before_ = gpu::GetValidationMessages().count;
  }
  void TearDown() override {
    buffers_.clear();
    ExpectNoMessagesSince(messages_before_);
  }

  // Of this tuning, with no heads.
  static DeviceKernels& KernelsOf(const KernelTuning& tuning) {
    const Tuning key = {tuning.subgroup_size, tuning.wide_groups, tuning.integer_dot,
                        tuning.cooperative_matrix};
    return kernels_.try_emplace(key, *device_, HeadShape{}, tuning).first->second;
  }

  // Memory that both sides see. Values in it live until the test ends.
  template <typename T>
  std::span<T> Shared(size_t count, uint64_t& address) {
    auto buffer = gpu::Buffer::Allocate(*device_, gpu::MemoryKind::kReadback,
                                        std::max<size_t>(1, count) * sizeof(T));
    EXPECT_TRUE(buffer) << buffer.error().ToString();
    buffers_.push_back(std::move(*buffer));
    address = buffers_.back().address();
    return {reinterpret_cast<T*>(buffers_.back().mapped()), count};
  }
  template <typename T>
  uint64_t Upload(std::span<const T> values) {
    uint64_t address = 0;
    const auto target = Shared<T>(values.size(), address);
    std::memcpy(target.data(), values.data(), values.size_bytes());
    return address;
  }
  uint64_t Upload(const std::vector<float>& values) {
    return Upload(std::span<const float>(values));
  }
  uint64_t Upload(const std::vector<uint32_t>& values) {
    return Upload(std::span<const uint32_t>(values));
  }

  // Records with `record`, and runs it to its end.
  template <typename Record>
  void Execute(const Record& record) {
    auto commands = device_->compute_queue().Begin();
    ASSERT_TRUE(commands) << commands.error().ToString();
    const Result<void> recorded = record(*commands);
    ASSERT_TRUE(recorded) << recorded.error().ToString();
    const auto point = device_->compute_queue().Submit(std::move(*commands));
    ASSERT_TRUE(point) << point.error().ToString();
    const auto waited = device_->compute_queue().Wait(point->value);
    ASSERT_TRUE(waited) << waited.error().ToString();
  }

  inline static std::unique_ptr<gpu::Device> device_;

 private:
  using Tuning = std::tuple<uint32_t, bool, bool, bool>;

  static void ExpectNoMessagesSince(uint64_t before) {
    const auto messages = gpu::GetValidationMessages();
    EXPECT_EQ(messages.count, before) << messages.first;
  }

  inline static std::map<Tuning, DeviceKernels> kernels_;  // leave before the device
  std::vector<gpu::Buffer> buffers_;
  uint64_t messages_before_ = 0;
};

}  // namespace gguf_shard
