#include "atlas/vulkan_atlas.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/atlas/vulkan_atlas_fixture.h"

namespace gguf_shard {
namespace {

TEST_F(VulkanAtlasTest, KernelsReadTheRightPagesAtEveryBudgetByEveryWay) {
  for (const TransferMethod method : kMethods) {
    for (const uint32_t percent : {100, 50, 25, 0}) {
      SCOPED_TRACE(std::string(TransferMethodName(method)) + " " + std::to_string(percent) + "%");
      const VulkanAtlasOptions options = Options(percent, method);
      const auto atlas = OpenAtlas(memory_, options);
      const auto runs = ScheduledRuns(*atlas);
      for (int pass = 0; pass < 3; ++pass) EXPECT_TRUE(UseRuns(*atlas, runs));
      const VulkanAtlasStats stats = atlas->Stats();
      EXPECT_LE(stats.device_bytes, options.memory_bytes);
      EXPECT_EQ(stats.transfer, method);
      EXPECT_EQ(
          stats.pages.page_hits + stats.pages.prefetch_covered_pages + stats.pages.stalled_pages,
          3 * (6 * 80 + 77u));
      EXPECT_LE(stats.disk_pages, memory_.pages_read());  // some may still be under way
      EXPECT_EQ(stats.checked_pages, stats.disk_pages);
      EXPECT_EQ(stats.bytes_to_device,
                method == TransferMethod::kDirect ? 0 : stats.checked_pages * kPageBytes);
      EXPECT_GT(stats.swaps, 0u);
      if (percent == 100) {
        EXPECT_TRUE(atlas->everything_fits());
        EXPECT_EQ(memory_.pages_read(), 6 * 80 + 77u);
      }
      memory_.ForgetReads();
    }
  }
}

TEST_F(VulkanAtlasTest, EverythingIsGivenBack) {
  const uint64_t before = device_->allocated_bytes();
  {
    const auto atlas = OpenAtlas(memory_, Options(50, TransferMethod::kImported));
    EXPECT_TRUE(UseRuns(*atlas, ScheduledRuns(*atlas)));
    EXPECT_EQ(device_->allocated_bytes() - before, atlas->Stats().device_bytes);
  }
  EXPECT_EQ(device_->allocated_bytes(), before);
}

TEST_F(VulkanAtlasTest, RunsOnDemandTakeTurns) {
  for (const uint32_t percent : {60, 0}) {
    const auto atlas = OpenAtlas(memory_, Options(percent, TransferMethod::kAuto));
    Random random(5);
    const uint32_t tensors[] = {kTable, kExperts, 3};
    const auto runs = RunsOfTensors(atlas->run_table(), tensors);
    std::vector<uint32_t> sequence;
    for (int i = 0; i < 300; ++i) {
      sequence.push_back(runs[random.Below(static_cast<uint32_t>(runs.size()))]);
      if (i % 10 == 0) atlas->Prefetch(std::span(sequence).last(1));
    }
    EXPECT_TRUE(UseRuns(*atlas, sequence));
  }
}

TEST_F(VulkanAtlasTest, AWaveThatIsAbandonedKeepsNothing) {
  const auto atlas = OpenAtlas(memory_, Options(0, TransferMethod::kAuto));
  const auto runs = ScheduledRuns(*atlas);
  for (int i = 0; i < 20; ++i) {
    for (uint32_t run = 0; run < 3; ++run) {
      const auto needed = atlas->Need(runs[(i * 3 + run) % runs.size()]);
      ASSERT_TRUE(needed);
      EXPECT_TRUE(*needed);
    }
    atlas->EndWave({});
  }
  EXPECT_TRUE(UseRuns(*atlas, runs));
}

TEST_F(VulkanAtlasTest, PagesThatAreAbsentAreShownAsTheGuardPage) {
  const auto atlas = OpenAtlas(memory_, Options(50, TransferMethod::kAuto));
  std::byte guard[kPageBytes];
  std::memset(guard, 0xFF, sizeof guard);
  const uint32_t pages[] = {0, static_cast<uint32_t>(model_.page_count() - 1)};
  const auto point = summer_->Submit(atlas->page_table_address(), pages);
  ASSERT_TRUE(device_->compute_queue().Wait(point.value));
  EXPECT_EQ(summer_->Sum(0), PageSummer::SumOf(guard));
  EXPECT_EQ(summer_->Sum(1), PageSummer::SumOf(guard));
}

TEST_F(VulkanAtlasTest, TheHostCacheSparesTheDisk) {
  VulkanAtlasOptions options = Options(25, TransferMethod::kImported);
  for (const bool upload : {false, true}) {
    memory_.ForgetReads();
    options = Options(25, upload ? TransferMethod::kUpload : TransferMethod::kImported);
    options.host_cache_bytes = model_.tensor_pages() * kPageBytes;
    const auto atlas = OpenAtlas(memory_, options);
    const auto runs = ScheduledRuns(*atlas);
    EXPECT_TRUE(UseRuns(*atlas, runs));
    const uint64_t after_first = memory_.pages_read();
    for (int pass = 0; pass < 3; ++pass) EXPECT_TRUE(UseRuns(*atlas, runs));
    const VulkanAtlasStats stats = atlas->Stats();
    // Read-ahead of the first pass may have gone into the second.
    EXPECT_LE(memory_.pages_read(), after_first + after_first / 4);
    EXPECT_GT(stats.host_hit_pages, stats.disk_pages);
    EXPECT_LE(stats.host_cache_bytes, options.host_cache_bytes);
    EXPECT_EQ(stats.host_hit_pages + stats.disk_pages, stats.checked_pages);
  }
}

TEST_F(VulkanAtlasTest, ASmallHostCacheKeepsWhatItCan) {
  VulkanAtlasOptions options = Options(20, TransferMethod::kImported);
  options.host_cache_bytes = 150 * kPageBytes;
  const auto atlas = OpenAtlas(memory_, options);
  std::vector<uint32_t> runs = ScheduledRuns(*atlas);
  const uint32_t on_demand[] = {kTable, kExperts};
  for (const uint32_t run : RunsOfTensors(atlas->run_table(), on_demand)) runs.push_back(run);
  for (int pass = 0; pass < 3; ++pass) EXPECT_TRUE(UseRuns(*atlas, runs));
  const VulkanAtlasStats stats = atlas->Stats();
  EXPECT_GT(stats.host_hit_pages, 0u);
  EXPECT_LE(stats.host_cache_bytes, options.host_cache_bytes);
}

TEST_F(VulkanAtlasTest, TooLittleMemoryIsRefusedWithWhatWouldDo) {
  VulkanAtlasOptions options = Options(0, TransferMethod::kAuto);
  EXPECT_NE(OpenAtlas(memory_, options), nullptr);
  --options.memory_bytes;
  const auto refused = VulkanAtlas::Open(model_.map(), memory_, *device_, scheduled_, options);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kBudgetTooSmall);
  EXPECT_NE(refused.error().expected().find(std::to_string(options.memory_bytes + 1)),
            std::string::npos);
}

TEST_F(VulkanAtlasTest, HeldRunsStayAndAreShownAllAtOnce) {
  VulkanAtlasOptions options = Options(40, TransferMethod::kAuto);
  options.held_runs = 4;
  const auto atlas = OpenAtlas(memory_, options);
  const RunSpan experts = atlas->run_table().RunsOfTensor(kExperts);
  const std::vector<uint32_t> held = {experts.first_run, experts.first_run + 3,
                                      experts.first_run + 5};
  ASSERT_TRUE(atlas->Hold(held));
  const std::vector<uint32_t> two = {experts.first_run + 6, experts.first_run + 7};
  const auto refused = atlas->Hold(two);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kBudgetTooSmall);
  const auto shown = atlas->ShowHeld(held);
  ASSERT_TRUE(shown);
  EXPECT_TRUE(UseRuns(*atlas, ScheduledRuns(*atlas)));
  std::vector<uint32_t> pages;
  for (const uint32_t run : held) {
    pages.push_back(static_cast<uint32_t>(atlas->run_table().run(run).first_page));
    EXPECT_NE(atlas->AddressOf(run, 0), 0u);
  }
  const auto point = summer_->Submit(atlas->page_table_address(), pages);
  ASSERT_TRUE(device_->compute_queue().Wait(point.value));
  for (uint32_t i = 0; i < pages.size(); ++i) {
    EXPECT_EQ(summer_->Sum(i), PageSummer::SumOf(memory_.page(pages[i])));
  }
  atlas->Release(held);
  ASSERT_TRUE(atlas->Hold(two));
  atlas->Release(two);
}

TEST_F(VulkanAtlasTest, OneChangeShowsASetAndHidesAnother) {
  for (const uint32_t percent : {40u, 100u}) {
    VulkanAtlasOptions options = Options(percent, TransferMethod::kAuto);
    options.held_runs = 4;
    const auto atlas = OpenAtlas(memory_, options);
    const uint32_t first = atlas->run_table().RunsOfTensor(kExperts).first_run;
    const std::vector<uint32_t> before = {first, first + 1};
    const std::vector<uint32_t> after = {first + 1, first + 2};
    ASSERT_TRUE(atlas->Hold(before));
    ASSERT_TRUE(atlas->ShowHeld(before));
    ASSERT_TRUE(atlas->Hold(after));
    std::vector<uint32_t> pages;
    for (uint32_t run = first; run < first + 3; ++run) {
      pages.push_back(static_cast<uint32_t>(atlas->run_table().run(run).first_page));
    }
    std::byte guard[kPageBytes];
    std::memset(guard, 0xFF, sizeof guard);
    const uint32_t hidden = PageSummer::SumOf(guard);
    const auto sum = [&](uint32_t i) { return PageSummer::SumOf(memory_.page(pages[i])); };
    // Submitted before the change: reads the old set, however late it runs.
    summer_->Submit(atlas->page_table_address(), pages, 0);
    ASSERT_TRUE(atlas->ShowHeld(after, before));
    const auto point = summer_->Submit(atlas->page_table_address(), pages, 8);
    ASSERT_TRUE(device_->compute_queue().Wait(point.value));
    const uint32_t expected[] = {sum(0), sum(1), hidden, hidden, sum(1), sum(2)};
    for (uint32_t i = 0; i < 6; ++i) EXPECT_EQ(summer_->Sum(i % 3 + i / 3 * 8), expected[i]) << i;
    atlas->Release(before);
    atlas->Release(after);
  }
}

}  // namespace
}  // namespace gguf_shard
