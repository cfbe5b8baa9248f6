#include "gpu/queue.h"

#include <gtest/gtest.h>

#include <cstring>
#include <thread>
#include <vector>

#include "gpu/kernel.h"
#include "tests/gpu/vulkan_fixture.h"

namespace gguf_shard::gpu_test_shaders {
std::span<const gpu::Shader> All();
}

namespace gguf_shard::gpu {
namespace {

constexpr uint32_t kGroup = 64;

struct Push {
  uint64_t source;
  uint64_t target;
  uint32_t count;
  uint32_t number;
};

class QueueTest : public VulkanTest {
 protected:
  Kernel MakeKernel(uint32_t factor, uint32_t subgroup_size = 0) {
    const uint32_t constants[] = {kGroup, factor};
    KernelOptions options;
    options.specialization = constants;
    options.push_constant_bytes = sizeof(Push);
    options.subgroup_size = subgroup_size;
    auto kernel =
        Kernel::Create(*device_, FindShader(gpu_test_shaders::All(), "add_number"), options);
    EXPECT_TRUE(kernel) << kernel.error().ToString();
    return std::move(*kernel);
  }

  Buffer Words(uint32_t count, uint32_t value) {
    auto buffer = Buffer::Allocate(*device_, MemoryKind::kReadback, count * 4);
    EXPECT_TRUE(buffer);
    std::fill_n(reinterpret_cast<uint32_t*>(buffer->mapped()), count, value);
    return std::move(*buffer);
  }

  static uint32_t Word(const Buffer& buffer, uint32_t index) {
    uint32_t word;
    std::memcpy(&word, buffer.mapped() + index * 4, 4);
    return word;
  }

  TimelinePoint Run(const Kernel& kernel, const Buffer& from, const Buffer& to, uint32_t number) {
    const auto count = static_cast<uint32_t>(from.bytes() / 4);
    auto commands = device_->compute_queue().Begin();
    EXPECT_TRUE(commands);
    commands->Dispatch(kernel, Push{from.address(), to.address(), count, number},
                       (count + kGroup - 1) / kGroup);
    auto point = device_->compute_queue().Submit(std::move(*commands));
    EXPECT_TRUE(point);
    return *point;
  }
};

TEST_F(QueueTest, AKernelComputesWithItsConstants) {
  const Kernel kernel = MakeKernel(3);
  const Buffer from = Words(1001, 5);
  const Buffer to = Words(1001, 0);
  const TimelinePoint point = Run(kernel, from, to, 7);
  ASSERT_TRUE(device_->compute_queue().Wait(point.value));
  EXPECT_TRUE(device_->compute_queue().HasPassed(point.value));
  for (uint32_t i = 0; i < 1001; ++i) ASSERT_EQ(Word(to, i), 22u) << i;
}

TEST_F(QueueTest, SubmissionsSeeWhatEarlierOnesWrote) {
  const Kernel kernel = MakeKernel(1);
  const Buffer words = Words(4096, 0);
  TimelinePoint point;
  for (uint32_t i = 0; i < 200; ++i) {
    const uint64_t before = point.value;
    point = Run(kernel, words, words, 1);
    EXPECT_EQ(point.value, before + 1);
  }
  EXPECT_EQ(device_->compute_queue().Latest().value, point.value);
  ASSERT_TRUE(device_->compute_queue().Wait(point.value));
  for (uint32_t i = 0; i < 4096; ++i) ASSERT_EQ(Word(words, i), 200u) << i;
}

TEST_F(QueueTest, ABarrierOrdersWithinASubmission) {
  const Kernel kernel = MakeKernel(2);
  const Buffer words = Words(640, 1);
  auto commands = device_->compute_queue().Begin();
  ASSERT_TRUE(commands);
  EXPECT_TRUE(commands->empty());
  commands->Fill(words, 0, 640 * 4, 3);
  for (int i = 0; i < 4; ++i) {
    commands->Barrier();
    commands->Dispatch(kernel, Push{words.address(), words.address(), 640, 1}, 10);
  }
  EXPECT_FALSE(commands->empty());
  const auto point = device_->compute_queue().Submit(std::move(*commands));
  ASSERT_TRUE(point);
  ASSERT_TRUE(device_->compute_queue().Wait(point->value));
  EXPECT_EQ(Word(words, 639), 63u);  // ((((3*2+1)*2+1)*2+1)*2+1)
}

TEST_F(QueueTest, QueuesWaitForEachOthersPoints) {
  const Kernel kernel = MakeKernel(1);
  const Buffer staging = Words(1024, 41);
  const Buffer slots = Words(1024, 0);
  auto copy = device_->transfer_queue().Begin();
  ASSERT_TRUE(copy);
  copy->Copy(staging, 0, slots, 0, 4096);
  const auto copied = device_->transfer_queue().Submit(std::move(*copy));
  ASSERT_TRUE(copied);
  auto compute = device_->compute_queue().Begin();
  ASSERT_TRUE(compute);
  compute->Dispatch(kernel, Push{slots.address(), slots.address(), 1024, 1}, 16);
  const auto point =
      device_->compute_queue().Submit(std::move(*compute), std::span(&*copied, size_t{1}));
  ASSERT_TRUE(point);
  ASSERT_TRUE(device_->compute_queue().Wait(point->value));
  EXPECT_EQ(Word(slots, 1023), 42u);
}

TEST_F(QueueTest, ManyThreadsSubmit) {
  const Kernel kernel = MakeKernel(1);
  std::vector<Buffer> words;
  for (int i = 0; i < 4; ++i) words.push_back(Words(256, 0));
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (int turn = 0; turn < 25; ++turn) Run(kernel, words[i], words[i], 1);
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(device_->compute_queue().Wait(device_->compute_queue().Latest().value));
  for (int i = 0; i < 4; ++i) EXPECT_EQ(Word(words[i], 255), 25u);
}

TEST_F(QueueTest, CommandsThatAreNotSubmittedAreGivenBack) {
  for (int i = 0; i < 3; ++i) {
    auto commands = device_->compute_queue().Begin();
    ASSERT_TRUE(commands);
  }
  EXPECT_EQ(device_->compute_queue().Latest().value, 0u);
  EXPECT_TRUE(device_->compute_queue().HasPassed(0));
}

TEST_F(QueueTest, ASubgroupSizeThatTheDeviceLacksIsRefused) {
  const uint32_t constants[] = {kGroup, 1};
  KernelOptions options;
  options.specialization = constants;
  options.push_constant_bytes = sizeof(Push);
  options.subgroup_size = 2 * device_->info().max_subgroup_size;
  const auto kernel =
      Kernel::Create(*device_, FindShader(gpu_test_shaders::All(), "add_number"), options);
  ASSERT_FALSE(kernel);
  EXPECT_EQ(kernel.error().code(), ErrorCode::kUnsupported);
  EXPECT_EQ(MakeKernel(1, device_->info().subgroup_size).push_constant_bytes(), sizeof(Push));
}

}  // namespace
}  // namespace gguf_shard::gpu
