#include "gpu/device.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "core/file.h"
#include "gpu/kernel.h"
#include "gpu/pipeline_cache.h"
#include "gpu/queue.h"
#include "gpu/vulkan_error.h"
#include "gpu/vulkan_handles.h"
#include "tests/gpu/vulkan_fixture.h"
#include "tests/support/temporary_directory.h"

namespace gguf_shard::gpu_test_shaders {
std::span<const gpu::Shader> All();
}

namespace gguf_shard::gpu {
namespace {

using DeviceTest = VulkanTest;

TEST_F(DeviceTest, ListsWhatOpenOpens) {
  const auto devices = ListDevices();
  ASSERT_GT(devices.size(), device_->info().index);
  const DeviceInfo& info = devices[device_->info().index];
  EXPECT_EQ(info.name, device_->info().name);
  EXPECT_FALSE(info.driver.empty());
  EXPECT_GT(info.local_memory_bytes, 0u);
  EXPECT_GT(info.max_buffer_bytes, 0u);
  EXPECT_GE(info.max_subgroup_size, info.subgroup_size);
  EXPECT_LE(info.min_subgroup_size, info.subgroup_size);
  EXPECT_EQ(device_->memory_limit_bytes(), info.free_memory_bytes);
}

TEST_F(DeviceTest, ANumberThatIsNotThereIsRefused) {
  DeviceOptions options;
  options.index = 1000;
  const auto device = Device::Open(options);
  ASSERT_FALSE(device);
  EXPECT_EQ(device.error().code(), ErrorCode::kDevice);
}

TEST_F(DeviceTest, SeveralDevicesLiveSideBySide) {
  const auto second = Open(1 << 20);
  auto mine = Buffer::Allocate(*second, MemoryKind::kDevice, 4096);
  ASSERT_TRUE(mine);
  EXPECT_EQ(device_->allocated_bytes(), 0u);
}

TEST_F(DeviceTest, TheSubmissionOfAnAdoptedDeviceSignalsItsOwnersSemaphore) {
  // The owner is a device of ours; what adopts it does not know that.
  const DeviceHandles& owner = device_->handles();
  AdoptedDevice adopted;
  adopted.instance = owner.instance->handle();
  adopted.physical_device = owner.physical.handle;
  adopted.device = owner.device;
  adopted.compute_queue = device_->compute_queue().handles().queue;
  adopted.compute_family = owner.physical.compute_family;
  int locked = 0;
  adopted.lock_context = &locked;
  adopted.lock_queues = [](void* context) { ++*static_cast<int*>(context); };
  adopted.unlock_queues = [](void*) {};
  auto device = Adopt(adopted, 1 << 20);
  ASSERT_TRUE(device) << device.error().ToString();
  EXPECT_FALSE((*device)->info().imports_host_memory);  // not switched on, as far as it was told
  auto buffer = Buffer::Allocate(**device, MemoryKind::kReadback, 4096);
  ASSERT_TRUE(buffer);
  auto commands = (*device)->compute_queue().Begin();
  ASSERT_TRUE(commands);
  commands->Fill(*buffer, 0, 4096, 0x01020304);
  const VkSemaphore semaphore = device_->transfer_queue().handles().timeline;
  const auto point =
      SubmitAndSignal((*device)->compute_queue(), std::move(*commands), {}, semaphore, 5);
  ASSERT_TRUE(point) << point.error().ToString();
  ASSERT_TRUE(device_->transfer_queue().Wait(5));
  EXPECT_EQ(buffer->mapped()[4095], std::byte{1});
  EXPECT_EQ(locked, 1);
}

TEST_F(DeviceTest, ThePipelineCacheIsKeptAndDamageToItIsIgnored) {
  const TemporaryDirectory folder;
  const std::filesystem::path path = folder.path() / "cache" / "pipelines.bin";
  const auto compile = [&] {
    const auto device = Open(0, path.string());
    const uint32_t constants[] = {64, 1};
    KernelOptions options;
    options.specialization = constants;
    options.push_constant_bytes = 24;
    EXPECT_TRUE(
        Kernel::Create(*device, FindShader(gpu_test_shaders::All(), "add_number"), options));
  };
  compile();
  auto written = ReadWholeFile(path, 1 << 24);
  ASSERT_TRUE(written);
  EXPECT_EQ(written->substr(0, 8), "GSPIPE01");
  for (const size_t offset : {size_t{3}, size_t{20}, written->size() - 1}) {
    std::string damaged = *written;
    damaged[offset] = static_cast<char>(damaged[offset] ^ 1);
    ASSERT_TRUE(WriteWholeFile(path, damaged, Overwrite::kAllow));
    compile();
    auto again = ReadWholeFile(path, 1 << 24);
    ASSERT_TRUE(again);
    EXPECT_NE(*again, damaged);
  }
}

TEST(VulkanErrors, MemoryAndDeviceAreToldApart) {
  EXPECT_TRUE(CheckVulkan(VK_SUCCESS, "x"));
  EXPECT_TRUE(CheckVulkan(VK_INCOMPLETE, "x"));
  const auto lost = CheckVulkan(VK_ERROR_DEVICE_LOST, "submitting work to the device");
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code(), ErrorCode::kDevice);
  EXPECT_EQ(lost.error().sentence(), "submitting work to the device failed: VK_ERROR_DEVICE_LOST");
  const auto memory = CheckVulkan(VK_ERROR_OUT_OF_DEVICE_MEMORY, "x");
  ASSERT_FALSE(memory);
  EXPECT_EQ(memory.error().code(), ErrorCode::kOutOfMemory);
}

TEST(PipelineCachePath, FollowsTheEnvironment) {
  setenv("XDG_CACHE_HOME", "/somewhere", 1);
  EXPECT_EQ(DefaultPipelineCachePath(), "/somewhere/gguf-shard/pipelines.bin");
  setenv("XDG_CACHE_HOME", "relative", 1);
  setenv("HOME", "/house", 1);
  EXPECT_EQ(DefaultPipelineCachePath(), "/house/.cache/gguf-shard/pipelines.bin");
  unsetenv("XDG_CACHE_HOME");
  unsetenv("HOME");
  EXPECT_EQ(DefaultPipelineCachePath(), "");
}

TEST(ValidationLayers, AreThereWhereADriverIs) {
  if (ListDevices().empty()) GTEST_SKIP() << "there is no Vulkan driver";
  EXPECT_TRUE(GetValidationMessages().active) << "install vulkan-validationlayers";
}

}  // namespace
}  // namespace gguf_shard::gpu
