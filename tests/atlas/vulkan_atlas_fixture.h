// The model, the device and the kernel that the tests of the atlas in device memory share. The
// kernel computes a number for each page that it is told to read, through the page table; the host
// computes the same from the source. One thread, but for what tests start.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "atlas/vulkan_atlas.h"
#include "gpu/buffer.h"
#include "gpu/kernel.h"
#include "gpu/queue.h"
#include "tests/atlas/synthetic_model.h"
#include "tests/gpu/vulkan_fixture.h"

namespace gguf_shard {

inline constexpr TransferMethod kMethods[] = {TransferMethod::kDirect, TransferMethod::kImported,
                                              TransferMethod::kUpload};

namespace atlas_test_shaders {
std::span<const gpu::Shader> All();
}

// Reads pages on the device.
class PageSummer {
 public:
  static constexpr uint32_t kMostPages = 4096;

  explicit PageSummer(gpu::Device& device) : device_(device) {
    gpu::KernelOptions options;
    options.push_constant_bytes = sizeof(Push);
    auto kernel = gpu::Kernel::Create(
        device, gpu::FindShader(atlas_test_shaders::All(), "page_sum"), options);
    EXPECT_TRUE(kernel) << kernel.error().ToString();
    kernel_.emplace(std::move(*kernel));
    numbers_ = Allocate();
    sums_ = Allocate();
  }

  static uint32_t SumOf(const std::byte* page) {
    uint32_t sum = 0;
    for (uint32_t i = 0; i < kPageBytes; i += 4) sum = sum * 31 + LoadLe<uint32_t>(page + i);
    return sum;
  }

  // Submits the reading of `pages`; the numbers go to a place of their own, at `first`.
  gpu::TimelinePoint Submit(uint64_t table, std::span<const uint32_t> pages, uint32_t first = 0) {
    GS_CHECK(first + pages.size() <= kMostPages);
    std::memcpy(numbers_.mapped() + first * 4, pages.data(), pages.size_bytes());
    auto commands = device_.compute_queue().Begin();
    EXPECT_TRUE(commands);
    const auto count = static_cast<uint32_t>(pages.size());
    const Push push{table, numbers_.address() + first * 4, sums_.address() + first * 4, count, 0};
    commands->Dispatch(*kernel_, push, (count + 63) / 64);
    auto point = device_.compute_queue().Submit(std::move(*commands));
    EXPECT_TRUE(point) << point.error().ToString();
    return *point;
  }
  // After the point has passed.
  uint32_t Sum(uint32_t index) const { return LoadLe<uint32_t>(sums_.mapped() + index * 4); }

 private:
  struct Push {
    uint64_t table;
    uint64_t numbers;
    uint64_t sums;
    uint32_t count;
    uint32_t unused;
  };
  gpu::Buffer Allocate() {
    auto buffer = gpu::Buffer::Allocate(device_, gpu::MemoryKind::kReadback, kMostPages * 4);
    EXPECT_TRUE(buffer);
    return std::move(*buffer);
  }

  gpu::Device& device_;
  std::optional<gpu::Kernel> kernel_;
  gpu::Buffer numbers_;
  gpu::Buffer sums_;
};

// 6 matrices of 20 strips of 4 pages and one of odd sizes, which are the schedule; a table;
// experts.
class VulkanAtlasTest : public gpu::VulkanTest {
 protected:
  static constexpr uint32_t kScheduled = 7;
  static constexpr uint32_t kTable = kScheduled;
  static constexpr uint32_t kExperts = kScheduled + 1;

  VulkanAtlasTest() : model_(MakeModel()), memory_(model_), scheduled_(kScheduled) {
    std::iota(scheduled_.begin(), scheduled_.end(), 0);
  }
  void SetUp() override {
    gpu::VulkanTest::SetUp();
    if (device_) summer_ = std::make_unique<PageSummer>(*device_);
  }
  void TearDown() override { summer_.reset(); }

  static SyntheticModel MakeModel() {
    SyntheticModel model;
    for (uint32_t i = 0; i + 1 < kScheduled; ++i) model.AddMatrix("m" + std::to_string(i), 20, 4);
    model.AddMatrix("odd", 7, 11);
    model.AddTable("table", 90, Zone::kCold);
    model.AddMatrix("experts", 8, 3, 8);
    return model;
  }

  // Memory for a share of the model's pages, in percent, but never less than the minimum.
  VulkanAtlasOptions Options(uint32_t percent, TransferMethod transfer) const {
    VulkanAtlasOptions options;
    options.transfer = transfer;
    options.io_threads = 2;
    options.runs_per_wave = 3;
    const uint64_t all = VulkanAtlas::ResidentMemoryBytes(model_.map(), *device_, options);
    const uint64_t least = VulkanAtlas::MinimumMemoryBytes(model_.map(), *device_, options);
    const uint64_t pages = model_.tensor_pages() * kPageBytes;
    options.memory_bytes = std::max(least, all - pages + pages * percent / 100);
    return options;
  }
  std::unique_ptr<VulkanAtlas> OpenAtlas(PageSource& source, const VulkanAtlasOptions& options) {
    auto atlas = VulkanAtlas::Open(model_.map(), source, *device_, scheduled_, options);
    EXPECT_TRUE(atlas) << atlas.error().ToString();
    return atlas ? std::move(*atlas) : nullptr;
  }

  // Uses runs in order, as many to a wave as it takes, and compares what the kernels read. False
  // after the first error, which goes to `error`.
  bool UseRuns(VulkanAtlas& atlas, std::span<const uint32_t> runs,
               std::optional<Error>* error = nullptr) {
    struct WaveInFlight {
      gpu::TimelinePoint point;
      std::vector<uint32_t> pages;
      uint32_t first;
    };
    std::vector<WaveInFlight> waves;
    std::vector<uint32_t> pages;
    uint32_t first = 0;
    const auto check = [&] {
      for (const WaveInFlight& wave : waves) {
        EXPECT_TRUE(device_->compute_queue().Wait(wave.point.value));
        for (uint32_t i = 0; i < wave.pages.size(); ++i) {
          EXPECT_EQ(summer_->Sum(wave.first + i), PageSummer::SumOf(memory_.page(wave.pages[i])))
              << "page " << wave.pages[i];
        }
      }
      waves.clear();
      first = 0;
    };
    const auto submit = [&] {
      if (first + pages.size() > PageSummer::kMostPages) check();
      EXPECT_TRUE(atlas.Publish());
      const auto point = summer_->Submit(atlas.page_table_address(), pages, first);
      atlas.EndWave(point);
      waves.push_back({point, pages, first});
      first += static_cast<uint32_t>(pages.size());
      pages.clear();
    };
    bool good = true;
    for (size_t i = 0; i < runs.size() && good;) {
      auto needed = atlas.Need(runs[i]);
      if (!needed) {
        good = false;
        if (error != nullptr) *error = needed.error();
        EXPECT_NE(error, nullptr) << needed.error().ToString();
      } else if (!*needed) {
        EXPECT_FALSE(pages.empty()) << "an empty wave was full";
        submit();
      } else {
        const auto& run = atlas.run_table().run(runs[i]);
        for (uint32_t page = 0; page < run.page_count; ++page) {
          pages.push_back(static_cast<uint32_t>(run.first_page) + page);
        }
        ++i;
        if (pages.size() >= 1024) submit();
      }
    }
    if (!pages.empty()) submit();
    check();
    return good;
  }

  std::vector<uint32_t> ScheduledRuns(const VulkanAtlas& atlas) const {
    return RunsOfTensors(atlas.run_table(), scheduled_);
  }

  SyntheticModel model_;
  MemoryPageSource memory_;
  std::vector<uint32_t> scheduled_;
  std::unique_ptr<PageSummer> summer_;
};

}  // namespace gguf_shard
