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

constexpr TransferMethod kMethods[] = {TransferMethod::kDirect, TransferMethod::kImported,
                                       TransferMethod::kUpload};

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

// Flips one random bit in each page of the next loads: in what was read (the source sees the
// staging memory, or the slots), or in the slots themselves.
class BitFlipper final : public PageSource, public SlotHook {
 public:
  BitFlipper(PageSource& below, bool in_slots) : below_(below), in_slots_(in_slots) {}

  Result<void> Read(uint64_t first_page, std::span<std::byte> target) override {
    GS_TRY(below_.Read(first_page, target));
    if (!in_slots_) Flip(target);
    return {};
  }
  std::string Describe() const override { return "flipped bits"; }
  void BeforeCheck(uint64_t, std::span<std::byte> slots) override {
    if (in_slots_) Flip(slots);
  }
  uint64_t flips() const { return flips_; }

 private:
  void Flip(std::span<std::byte> pages) {
    const std::lock_guard lock(mutex_);
    for (size_t page = 0; page < pages.size(); page += kPageBytes) {
      const uint32_t bit = random_.Below(kPageBytes * 8);
      pages[page + bit / 8] ^= static_cast<std::byte>(1 << (bit % 8));
      ++flips_;
    }
  }

  PageSource& below_;
  const bool in_slots_;
  std::mutex mutex_;
  Random random_{77};
  std::atomic<uint64_t> flips_{0};
};

TEST_F(VulkanAtlasTest, NoFlippedBitReachesAKernel) {
  struct Case {
    TransferMethod method;
    bool in_slots;
  };
  uint64_t flips = 0;
  for (const Case c : {Case{TransferMethod::kDirect, false}, Case{TransferMethod::kImported, false},
                       Case{TransferMethod::kUpload, false}, Case{TransferMethod::kDirect, true},
                       Case{TransferMethod::kImported, true}}) {
    BitFlipper source(memory_, c.in_slots);
    VulkanAtlasOptions options = Options(30, c.method);
    options.slot_hook = &source;
    options.prefetch_distance = 0;
    const auto atlas = OpenAtlas(source, options);
    uint32_t caught = 0;
    uint32_t tried = 0;
    for (uint32_t turn = 0; turn < 100 && source.flips() < 2200; ++turn) {
      for (const uint32_t run : ScheduledRuns(*atlas)) {
        ++tried;
        const auto needed = atlas->Need(run);
        atlas->EndWave({});
        if (!needed && needed.error().code() == ErrorCode::kChecksumMismatch) ++caught;
      }
    }
    EXPECT_EQ(caught, tried);
    // Nothing of it is shown.
    const auto runs = ScheduledRuns(*atlas);
    const uint32_t page = static_cast<uint32_t>(atlas->run_table().run(runs[0]).first_page);
    ASSERT_TRUE(atlas->Publish());
    const auto point = summer_->Submit(atlas->page_table_address(), std::span(&page, size_t{1}));
    ASSERT_TRUE(device_->compute_queue().Wait(point.value));
    std::byte guard[kPageBytes];
    std::memset(guard, 0xFF, sizeof guard);
    EXPECT_EQ(summer_->Sum(0), PageSummer::SumOf(guard));
    flips += source.flips();
  }
  EXPECT_GE(flips, 10'000u);
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
