#include "gpu/buffer.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "gpu/queue.h"
#include "tests/gpu/vulkan_fixture.h"

namespace gguf_shard::gpu {
namespace {

using BufferTest = VulkanTest;

Buffer MustAllocate(Device& device, MemoryKind kind, uint64_t bytes) {
  auto buffer = Buffer::Allocate(device, kind, bytes);
  EXPECT_TRUE(buffer) << buffer.error().ToString();
  return buffer ? std::move(*buffer) : Buffer();
}

TEST_F(BufferTest, AllocationsAreCountedAndGivenBack) {
  {
    const Buffer first = MustAllocate(*device_, MemoryKind::kDevice, 100'000);
    const Buffer second = MustAllocate(*device_, MemoryKind::kUpload, 5'000);
    EXPECT_GE(device_->allocated_bytes(), 105'000u);
    EXPECT_NE(first.address(), 0u);
    EXPECT_NE(first.address(), second.address());
  }
  EXPECT_EQ(device_->allocated_bytes(), 0u);
  EXPECT_GE(device_->peak_allocated_bytes(), 105'000u);
}

TEST_F(BufferTest, TheMemoryLimitHolds) {
  const auto device = Open(64 << 10);
  const Buffer most = MustAllocate(*device, MemoryKind::kDevice, 60 << 10);
  const auto refused = Buffer::Allocate(*device, MemoryKind::kUpload, 8 << 10);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kBudgetTooSmall);
  EXPECT_LE(device->peak_allocated_bytes(), uint64_t{64} << 10);
  EXPECT_TRUE(Buffer::Allocate(*device, MemoryKind::kUpload, 2 << 10));
}

TEST_F(BufferTest, ABufferAboveTheDevicesLimitIsRefused) {
  const auto device = Open(uint64_t{1} << 60);
  const auto refused = Buffer::Allocate(*device, MemoryKind::kDevice, uint64_t{1} << 50);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kTooLarge);
  EXPECT_EQ(device->allocated_bytes(), 0u);
}

TEST_F(BufferTest, MovingKeepsOneOwner) {
  Buffer buffer = MustAllocate(*device_, MemoryKind::kDevice, 4096);
  const uint64_t address = buffer.address();
  const uint64_t counted = device_->allocated_bytes();
  Buffer moved = std::move(buffer);
  EXPECT_EQ(moved.address(), address);
  EXPECT_EQ(device_->allocated_bytes(), counted);
  moved = Buffer();
  EXPECT_EQ(device_->allocated_bytes(), 0u);
}

TEST_F(BufferTest, HostVisibleKindsAreMappedAndCopied) {
  Buffer from = MustAllocate(*device_, MemoryKind::kUpload, 4096);
  Buffer through = MustAllocate(*device_, MemoryKind::kDevice, 8192);
  Buffer to = MustAllocate(*device_, MemoryKind::kReadback, 4096);
  ASSERT_NE(from.mapped(), nullptr);
  ASSERT_NE(to.mapped(), nullptr);
  for (uint32_t i = 0; i < 4096; ++i) from.mapped()[i] = static_cast<std::byte>(i * 7);
  auto commands = device_->compute_queue().Begin();
  ASSERT_TRUE(commands);
  commands->Copy(from, 0, through, 4096, 4096);
  commands->Barrier();
  commands->Copy(through, 4096, to, 0, 4096);
  const auto point = device_->compute_queue().Submit(std::move(*commands));
  ASSERT_TRUE(point);
  ASSERT_TRUE(device_->compute_queue().Wait(point->value));
  EXPECT_EQ(std::memcmp(from.mapped(), to.mapped(), 4096), 0);
}

TEST_F(BufferTest, ImportedHostMemoryIsReadByTheDevice) {
  if (!device_->info().imports_host_memory) GTEST_SKIP() << "the device imports no host memory";
  alignas(4096) static std::byte memory[8192];
  for (uint32_t i = 0; i < sizeof memory; ++i) memory[i] = static_cast<std::byte>(i * 13 + 5);
  auto imported = Buffer::ImportHostMemory(*device_, memory);
  ASSERT_TRUE(imported) << imported.error().ToString();
  EXPECT_EQ(device_->allocated_bytes(), 0u);  // its owner counts it
  Buffer to = MustAllocate(*device_, MemoryKind::kReadback, 8192);
  auto commands = device_->compute_queue().Begin();
  ASSERT_TRUE(commands);
  commands->Copy(*imported, 0, to, 0, 8192);
  const auto point = device_->compute_queue().Submit(std::move(*commands));
  ASSERT_TRUE(point);
  ASSERT_TRUE(device_->compute_queue().Wait(point->value));
  EXPECT_EQ(std::memcmp(memory, to.mapped(), sizeof memory), 0);
}

TEST_F(BufferTest, ImportingCrookedMemoryIsRefused) {
  alignas(4096) static std::byte memory[8192];
  const auto refused = Buffer::ImportHostMemory(*device_, std::span(memory).subspan(16, 4096));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace gguf_shard::gpu
