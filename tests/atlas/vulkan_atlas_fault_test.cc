// What the atlas in device memory does with damaged pages and failing reads, wherever they arise.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <thread>

#include "atlas/fault_page_source.h"
#include "tests/atlas/vulkan_atlas_fixture.h"

namespace gguf_shard {
namespace {

FaultPlan FaultsOn(uint64_t page, PageFault fault, uint32_t failing_reads) {
  FaultPlan plan;
  plan.pages[page] = fault;
  plan.failing_reads = failing_reads;
  return plan;
}

TEST_F(VulkanAtlasTest, ABadPageIsReadOnceMore) {
  for (const TransferMethod method : kMethods) {
    for (const PageFault fault : {PageFault::kFlip, PageFault::kIoError, PageFault::kShortRead}) {
      const auto& tensor = model_.map().tensors[1];
      FaultPageSource source(memory_, FaultsOn(tensor.first_page + 5, fault, 1));
      const auto atlas = OpenAtlas(source, Options(50, method));
      EXPECT_TRUE(UseRuns(*atlas, ScheduledRuns(*atlas)));
      EXPECT_EQ(atlas->Stats().pages.retried_pages, fault == PageFault::kFlip ? 1u : 0u);
    }
  }
}

TEST_F(VulkanAtlasTest, APageThatStaysBadIsAnErrorThatNamesIt) {
  for (const TransferMethod method : kMethods) {
    const auto& tensor = model_.map().tensors[2];
    const uint64_t bad = tensor.first_page + 17;
    FaultPageSource source(memory_, FaultsOn(bad, PageFault::kFlip, 1000));
    const auto atlas = OpenAtlas(source, Options(50, method));
    std::optional<Error> error;
    EXPECT_FALSE(UseRuns(*atlas, ScheduledRuns(*atlas), &error));
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), ErrorCode::kChecksumMismatch);
    EXPECT_EQ(error->page_index(), bad);
    EXPECT_EQ(error->tensor(), tensor.name);
    EXPECT_EQ(error->file(), "synthetic.gguf");
    EXPECT_EQ(error->expected().size(), 8u);
    EXPECT_NE(error->expected(), error->found());
    // The others are not touched by it.
    const uint32_t others[] = {3, 4};
    EXPECT_TRUE(UseRuns(*atlas, RunsOfTensors(atlas->run_table(), others)));
    // A disk that is well again serves the same run.
    source.SetPlan({});
    EXPECT_TRUE(UseRuns(*atlas, ScheduledRuns(*atlas)));
  }
}

// For a while: waves of random runs, prefetches, and held sets that come and go from other threads,
// while reads fail. GGUF_SHARD_STRESS_SECONDS makes it longer.
TEST_F(VulkanAtlasTest, StaysRightUnderStress) {
  const char* wish = std::getenv("GGUF_SHARD_STRESS_SECONDS");
  const int seconds = wish == nullptr ? 2 : std::max(1, std::atoi(wish));
  for (const TransferMethod method : {TransferMethod::kDirect, TransferMethod::kImported}) {
    FaultPlan plan;
    plan.seed = 3;
    plan.flip_share = 0.1;
    plan.io_error_share = 0.02;
    plan.failing_reads = 2;
    plan.period = 5;
    plan.delay_share = 0.1;
    plan.max_delay = std::chrono::microseconds(200);
    FaultPageSource source(memory_, plan);
    VulkanAtlasOptions options = Options(35, method);
    options.held_runs = 6;
    options.host_cache_bytes = 60 * kPageBytes;
    const auto atlas = OpenAtlas(source, options);
    const uint64_t limit = options.memory_bytes;

    std::atomic<bool> stopping{false};
    std::atomic<uint64_t> held_sets{0};
    const auto hold = [&](uint64_t seed) {
      Random random(seed);
      const RunSpan experts = atlas->run_table().RunsOfTensor(kExperts);
      while (!stopping) {
        std::set<uint32_t> chosen;
        while (chosen.size() < 3) {
          chosen.insert(experts.first_run + random.Below(experts.run_count));
        }
        const std::vector<uint32_t> runs(chosen.begin(), chosen.end());
        atlas->Prefetch(runs);
        if (!atlas->Hold(runs)) continue;
        const auto shown = atlas->ShowHeld(runs);
        EXPECT_TRUE(shown);
        ++held_sets;
        atlas->Release(runs);
      }
    };
    std::thread holder([&] { hold(1); });
    std::thread other_holder([&] { hold(2); });

    Random random(9);
    uint64_t failures = 0;
    const auto scheduled = ScheduledRuns(*atlas);
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds) / 2;
    while (std::chrono::steady_clock::now() < end) {
      std::vector<uint32_t> runs = scheduled;
      if (random.Below(2) == 0) {
        runs.resize(random.Below(static_cast<uint32_t>(runs.size())) + 1);
        const uint32_t tensors[] = {kTable, kExperts};
        for (const uint32_t run : RunsOfTensors(atlas->run_table(), tensors)) {
          if (random.Below(4) == 0) runs.push_back(run);
        }
      }
      std::optional<Error> error;
      if (!UseRuns(*atlas, runs, &error)) {
        ++failures;
        EXPECT_TRUE(error->code() == ErrorCode::kChecksumMismatch ||
                    error->code() == ErrorCode::kIo)
            << error->ToString();
      }
      EXPECT_LE(atlas->Stats().device_bytes, limit);
    }
    stopping = true;
    holder.join();
    other_holder.join();
    EXPECT_GT(held_sets.load(), 0u);
    EXPECT_GT(failures, 0u);
  }
}

}  // namespace
}  // namespace gguf_shard
