#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "core/page.h"
#include "gpu/vulkan_handles.h"
#include "include/gguf_shard/atlas.h"
#include "tests/atlas/synthetic_core.h"
#include "tests/gpu/vulkan_fixture.h"
#include "tests/support/temporary_directory.h"

namespace gguf_shard {
namespace {

constexpr uint64_t kMatrixPages = 80;
constexpr uint64_t kModelPages = 6 * kMatrixPages + 8 * 24;

// Six matrices of 80 pages, and one of 8 experts of 24 pages, as files.
class AtlasLibrary : public ::testing::Test {
 protected:
  AtlasLibrary() {
    SyntheticModel model;
    for (int i = 0; i < 6; ++i) model.AddMatrix("m" + std::to_string(i), 20, 4);
    model.AddMatrix("experts", 8, 3, 8);
    WriteSyntheticCore(std::move(model), folder_.path());
  }

  atlas_options Options(int32_t device, uint64_t pages) const {
    atlas_options options{};
    options.struct_size = sizeof options;
    options.device = device;
    options.memory_bytes = pages * kPageBytes;
    return options;
  }
  atlas_handle* Open(const atlas_options& options) const {
    atlas_handle* opened = nullptr;
    EXPECT_EQ(atlas_open(folder_.path().c_str(), &options, &opened), ATLAS_OK)
        << atlas_last_error();
    return opened;
  }
  static int32_t TestDevice() {
    std::string why;
    return gpu::FindTestDevice(why);
  }
  static atlas_statistics Stats(const atlas_handle* opened) {
    atlas_statistics statistics{};
    statistics.struct_size = sizeof statistics;
    EXPECT_EQ(atlas_stats(opened, &statistics), ATLAS_OK);
    return statistics;
  }

  TemporaryDirectory folder_;
};

void PinsSwapsAndVerifies(atlas_handle* opened, bool in_host_memory) {
  ASSERT_NE(opened, nullptr);
  EXPECT_EQ(atlas_shard_count(opened), 14u);
  uint64_t first = 0;
  uint64_t count = 0;
  ASSERT_EQ(atlas_find_tensor(opened, "experts", &first, &count), ATLAS_OK);
  EXPECT_EQ(first, 6u);
  EXPECT_EQ(count, 8u);
  atlas_shard shard{};
  ASSERT_EQ(atlas_shard_info(opened, 8, &shard), ATLAS_OK);
  EXPECT_STREQ(shard.tensor, "experts");
  EXPECT_EQ(shard.slice, 2u);
  EXPECT_EQ(shard.page_count, 24u);

  std::vector<atlas_page> pages(24);
  EXPECT_EQ(atlas_pin(opened, 8, pages.data(), 23), ATLAS_INVALID_ARGUMENT);
  ASSERT_EQ(atlas_pin(opened, 8, pages.data(), pages.size()), ATLAS_OK) << atlas_last_error();
  for (uint64_t i = 0; i < pages.size() && in_host_memory; ++i) {
    std::byte expected[kPageBytes];
    SyntheticModel::FillPage(shard.first_page + i, expected);
    EXPECT_EQ(std::memcmp(pages[i].host_pointer, expected, kPageBytes), 0);
  }
  for (const atlas_page& page : pages) EXPECT_NE(page.device_address, 0u);
  for (const std::vector<uint64_t>& set :
       {std::vector<uint64_t>{6, 7}, {7, 9}, {}, {13, 0}, {13, 0, 0}}) {
    EXPECT_EQ(atlas_prefetch(opened, set.data(), set.size()), ATLAS_OK);
    EXPECT_EQ(atlas_atomic_swap(opened, set.data(), set.size(), nullptr), ATLAS_OK)
        << atlas_last_error();
  }
  const uint64_t wrong[] = {6, 14};
  EXPECT_EQ(atlas_atomic_swap(opened, wrong, 2, nullptr), ATLAS_NOT_FOUND);
  EXPECT_NE(std::string(atlas_last_error()).find("14"), std::string::npos);
  EXPECT_EQ(atlas_unpin(opened, 8), ATLAS_OK);
  EXPECT_EQ(atlas_unpin(opened, 8), ATLAS_INVALID_ARGUMENT);
  EXPECT_EQ(atlas_verify(opened, nullptr, 0), ATLAS_OK);
}

TEST_F(AtlasLibrary, WorksInHostMemory) {
  for (const uint64_t pages : {kModelPages, uint64_t{400}}) {
    atlas_handle* opened = Open(Options(ATLAS_HOST_MEMORY, pages));
    PinsSwapsAndVerifies(opened, true);
    uint64_t table = 0;
    EXPECT_EQ(atlas_page_table(opened, &table), ATLAS_UNSUPPORTED);
    const atlas_statistics statistics = Stats(opened);
    EXPECT_LE(statistics.peak_memory_bytes, pages * kPageBytes);
    EXPECT_EQ(statistics.swaps, 5u);
    EXPECT_GT(statistics.disk_pages, 0u);
    atlas_close(opened);
  }
}

TEST_F(AtlasLibrary, WorksInDeviceMemory) {
  if (TestDevice() < 0) GTEST_SKIP() << "there is no Vulkan device of type cpu";
  for (const uint64_t pages : {uint64_t{2000}, uint64_t{500}}) {
    atlas_handle* opened = Open(Options(TestDevice(), pages));
    PinsSwapsAndVerifies(opened, false);
    uint64_t table = 0;
    EXPECT_EQ(atlas_page_table(opened, &table), ATLAS_OK);
    EXPECT_NE(table, 0u);
    const atlas_statistics statistics = Stats(opened);
    EXPECT_LE(statistics.peak_memory_bytes, pages * kPageBytes);
    EXPECT_GT(statistics.swaps, 0u);
    EXPECT_GT(statistics.checked_pages, 0u);
    atlas_close(opened);
  }
}

TEST_F(AtlasLibrary, ASwapThatHasNoRoomLeavesEverythingAsItWas) {
  for (const bool on_device : {false, true}) {
    if (on_device && TestDevice() < 0) continue;
    atlas_handle* opened =
        Open(on_device ? Options(TestDevice(), 500) : Options(ATLAS_HOST_MEMORY, 200));
    const uint64_t fits[] = {6};
    ASSERT_EQ(atlas_atomic_swap(opened, fits, 1, nullptr), ATLAS_OK) << atlas_last_error();
    std::vector<uint64_t> all(14);
    for (uint64_t i = 0; i < all.size(); ++i) all[i] = i;
    EXPECT_EQ(atlas_atomic_swap(opened, all.data(), all.size(), nullptr), ATLAS_BUDGET_TOO_SMALL);
    EXPECT_EQ(atlas_atomic_swap(opened, fits, 1, nullptr), ATLAS_OK) << atlas_last_error();
    atlas_close(opened);
  }
}

TEST_F(AtlasLibrary, DamageIsReportedWithItsPlace) {
  const auto core = folder_.path() / kCoreFileName;
  const auto size = std::filesystem::file_size(core);
  {
    // In the last expert; one index page follows.
    std::fstream file(core, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(size - 5 * kPageBytes + 100));
    file.put('\x55');
  }
  for (const bool on_device : {false, true}) {
    if (on_device && TestDevice() < 0) continue;
    atlas_handle* opened =
        Open(on_device ? Options(TestDevice(), 2000) : Options(ATLAS_HOST_MEMORY, 700));
    std::vector<atlas_page> pages(24);
    EXPECT_EQ(atlas_pin(opened, 13, pages.data(), 24), ATLAS_CHECKSUM_MISMATCH);
    EXPECT_NE(std::string(atlas_last_error()).find("experts"), std::string::npos);
    const uint64_t bad[] = {12, 13};
    EXPECT_EQ(atlas_atomic_swap(opened, bad, 2, nullptr), ATLAS_CHECKSUM_MISMATCH);
    EXPECT_EQ(atlas_verify(opened, bad, 1), ATLAS_OK);
    EXPECT_EQ(atlas_verify(opened, bad, 2), ATLAS_CHECKSUM_MISMATCH);
    atlas_close(opened);
  }
}

TEST_F(AtlasLibrary, WorksOnTheCallersDeviceAndSignalsItsSemaphore) {
  if (TestDevice() < 0) GTEST_SKIP() << "there is no Vulkan device of type cpu";
  gpu::DeviceOptions device_options;
  device_options.index = TestDevice();
  auto device = gpu::Device::Open(device_options);
  ASSERT_TRUE(device);
  const gpu::DeviceHandles& handles = (*device)->handles();
  atlas_vulkan vulkan{};
  vulkan.instance = handles.instance->handle();
  vulkan.physical_device = handles.physical.handle;
  vulkan.device = handles.device;
  vulkan.queue = (*device)->compute_queue().handles().queue;
  vulkan.queue_family = handles.physical.compute_family;
  atlas_options options = Options(ATLAS_BEST_DEVICE, 2000);
  options.vulkan = &vulkan;
  atlas_handle* opened = Open(options);
  ASSERT_NE(opened, nullptr);
  // A timeline semaphore of the caller's.
  const gpu::Queue& caller = (*device)->compute_queue();
  const uint64_t set[] = {6, 7};
  for (uint64_t value = 10; value < 14; ++value) {
    const atlas_timeline signal{reinterpret_cast<uint64_t>(caller.handles().timeline), value};
    EXPECT_EQ(atlas_atomic_swap(opened, set, 1 + value % 2, &signal), ATLAS_OK)
        << atlas_last_error();
    EXPECT_TRUE(caller.Wait(value));
  }
  atlas_close(opened);
}

TEST_F(AtlasLibrary, ManyThreadsPinAndSwap) {
  for (const bool on_device : {false, true}) {
    if (on_device && TestDevice() < 0) continue;
    atlas_handle* opened =
        Open(on_device ? Options(TestDevice(), 900) : Options(ATLAS_HOST_MEMORY, 450));
    std::atomic<int> pinned{0};
    std::vector<std::thread> threads;
    for (uint64_t thread = 0; thread < 3; ++thread) {
      threads.emplace_back([&, thread] {
        Random random(thread);
        for (int i = 0; i < 40; ++i) {
          const uint64_t shard = 6 + random.Below(8);
          std::vector<atlas_page> pages(24);
          if (thread == 0) {
            const auto swapped = atlas_atomic_swap(opened, &shard, 1, nullptr);
            EXPECT_TRUE(swapped == ATLAS_OK || swapped == ATLAS_BUDGET_TOO_SMALL);
          } else if (atlas_pin(opened, shard, pages.data(), 24) == ATLAS_OK) {
            ++pinned;
            EXPECT_EQ(atlas_unpin(opened, shard), ATLAS_OK);
          }
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_GT(pinned.load(), 0);
    atlas_close(opened);
  }
}

TEST_F(AtlasLibrary, NonsenseIsRefused) {
  atlas_handle* opened = nullptr;
  EXPECT_EQ(atlas_open(nullptr, nullptr, &opened), ATLAS_INVALID_ARGUMENT);
  atlas_options options = Options(ATLAS_HOST_MEMORY, 1000);
  EXPECT_EQ(atlas_open((folder_.path() / "absent").c_str(), &options, &opened), ATLAS_NOT_FOUND);
  EXPECT_EQ(opened, nullptr);
  EXPECT_STRNE(atlas_last_error(), "");
  options.struct_size = 3;
  EXPECT_EQ(atlas_open(folder_.path().c_str(), &options, &opened), ATLAS_INVALID_ARGUMENT);
  options = Options(ATLAS_HOST_MEMORY, 1);
  EXPECT_EQ(atlas_open(folder_.path().c_str(), &options, &opened), ATLAS_BUDGET_TOO_SMALL);
  EXPECT_EQ(atlas_pin(nullptr, 0, nullptr, 0), ATLAS_INVALID_ARGUMENT);
  EXPECT_STREQ(atlas_result_name(ATLAS_OK), "ok");
  EXPECT_STREQ(atlas_result_name(ATLAS_DEVICE), "device");
  atlas_close(nullptr);
}

TEST_F(AtlasLibrary, TheExampleRuns) {
  const std::string example = GS_ATLAS_EXAMPLE " " + folder_.path().string();
  EXPECT_EQ(std::system((example + " host 4000000").c_str()), 0);
  if (TestDevice() < 0) GTEST_SKIP() << "there is no Vulkan device of type cpu";
  const std::string device = " " + std::to_string(TestDevice());
  EXPECT_EQ(std::system((example + device + " 16000000").c_str()), 0);
}

// The search for the loader finds files that are none first.
TEST_F(AtlasLibrary, WithoutVulkanHostMemoryServesAndADeviceIsAnError) {
  for (const char* name : {"libvulkan.so.1", "libvulkan.so"}) {
    std::ofstream(folder_ / name) << "no library";
  }
  const std::string folder = folder_.path().string();
  const std::string example = "LD_LIBRARY_PATH=" + folder + " " GS_ATLAS_EXAMPLE " " + folder;
  EXPECT_EQ(std::system((example + " host 4000000").c_str()), 0);
  const std::string said = folder_ / "said";
  const int status = std::system((example + " auto 16000000 2> " + said).c_str());
  EXPECT_EQ(WEXITSTATUS(status), 1);
  std::string text;
  std::getline(std::ifstream(said), text);
  EXPECT_NE(text.find("(device)"), std::string::npos) << text;
  EXPECT_NE(text.find("no Vulkan loader"), std::string::npos) << text;
}

}  // namespace
}  // namespace gguf_shard
