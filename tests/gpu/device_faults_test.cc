// Refusals of a driver on demand: where they are asked for, as the driver would say it, and nothing
// stays of them.
#include "gpu/device_faults.h"

#include <gtest/gtest.h>

#include "gpu/buffer.h"
#include "gpu/queue.h"
#include "tests/gpu/vulkan_fixture.h"

namespace gguf_shard::gpu {
namespace {

using DeviceFaultsTest = VulkanTest;

// An empty submission.
Result<TimelinePoint> SubmitNothing(Queue& queue) {
  GS_ASSIGN(Commands commands, queue.Begin());
  return queue.Submit(std::move(commands));
}

TEST_F(DeviceFaultsTest, AllocationsFailFromTheNthOn) {
  DeviceFaults faults;
  const ScopedDeviceFaults scope(faults);
  faults.FailAllocationsFrom(1);
  {
    const auto first = Buffer::Allocate(*device_, MemoryKind::kDevice, 4096);
    ASSERT_TRUE(first) << first.error().ToString();
    for (const MemoryKind kind : {MemoryKind::kUpload, MemoryKind::kReadback}) {
      const auto refused = Buffer::Allocate(*device_, kind, 4096);
      ASSERT_FALSE(refused);
      EXPECT_EQ(refused.error().code(), ErrorCode::kOutOfMemory);
      EXPECT_NE(refused.error().sentence().find("VK_ERROR_OUT_OF_DEVICE_MEMORY"),
                std::string::npos);
    }
    EXPECT_EQ(faults.allocation_count(), 3u);
  }
  EXPECT_EQ(device_->allocated_bytes(), 0u) << "what was refused is not counted";
  faults.FailAllocationsFrom(DeviceFaults::kNever);
  EXPECT_TRUE(Buffer::Allocate(*device_, MemoryKind::kUpload, 4096));
}

TEST_F(DeviceFaultsTest, ALostDeviceTakesNoMoreWorkAndItsWaitsEnd) {
  Queue& queue = device_->compute_queue();
  DeviceFaults faults;
  faults.LoseDeviceAt(1);
  {
    const ScopedDeviceFaults scope(faults);
    const auto before = SubmitNothing(queue);
    ASSERT_TRUE(before) << before.error().ToString();
    EXPECT_TRUE(queue.Wait(before->value));
    for (int i = 0; i < 2; ++i) {
      const auto refused = SubmitNothing(queue);
      ASSERT_FALSE(refused);
      EXPECT_EQ(refused.error().code(), ErrorCode::kDevice);
    }
    const auto waited = queue.Wait(before->value);
    ASSERT_FALSE(waited);
    EXPECT_EQ(waited.error().code(), ErrorCode::kDevice);
    EXPECT_EQ(queue.Latest().value, before->value) << "nothing was submitted after it";
  }
  const auto after = SubmitNothing(queue);
  ASSERT_TRUE(after) << after.error().ToString();
  EXPECT_TRUE(queue.Wait(after->value));
}

}  // namespace
}  // namespace gguf_shard::gpu
