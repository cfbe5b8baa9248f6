// The atlas over storage that fails, lies or dawdles.
#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "atlas/atlas.h"
#include "atlas/fault_page_source.h"
#include "tests/atlas/atlas_fixture.h"

namespace gguf_shard {
namespace {

using AtlasFaultTest = AtlasTest;

TEST_F(AtlasFaultTest, DelaysAndFaultsThatPassChangeNothing) {
  for (const uint64_t pages : {MinimumPages(), uint64_t{700}, uint64_t{1700}}) {
    FaultPlan plan;
    plan.seed = pages;
    plan.flip_share = 0.03;
    plan.io_error_share = 0.002;
    plan.short_read_share = 0.002;
    plan.period = 2;  // the second read always helps
    plan.delay_share = 0.3;
    plan.max_delay = std::chrono::microseconds(300);
    FaultPageSource source(memory_, plan);
    const auto atlas = Open(source, PoolOf(pages));
    RunPasses(*atlas, 4, 4);
    EXPECT_GT(source.counts().flipped_pages, 0u);
    EXPECT_GT(source.counts().failed_reads, 0u);
    EXPECT_GT(atlas->Stats().retried_pages, 0u);
    EXPECT_EQ(PagesPinned(atlas->Stats()), 4 * kScheduledPages);
  }
}

TEST_F(AtlasFaultTest, BadPageIsAnErrorOfThePinThatNeedsItAndOnlyOfThat) {
  const RunTable runs(model_.map());
  const uint32_t bad_run = runs.RunsOf(5).first_run + 2;
  const uint64_t bad_page = runs.run(bad_run).first_page + 1;
  FaultPlan plan;
  plan.pages[bad_page] = PageFault::kFlip;
  plan.failing_reads = ~uint32_t{0};
  for (const uint64_t pages : {MinimumPages(), uint64_t{1000}, model_.tensor_pages()}) {
    FaultPageSource source(memory_, plan);
    const auto atlas = Open(source, PoolOf(pages));
    for (uint32_t run = 0; run < runs.run_count(); ++run) {
      if (run != bad_run) {
        EXPECT_TRUE(PinShowsItsPages(*atlas, run));
        continue;
      }
      for (int attempt = 0; attempt < 2; ++attempt) {
        const auto failed = atlas->Pin(run);
        ASSERT_FALSE(failed);
        EXPECT_EQ(failed.error().code(), ErrorCode::kChecksumMismatch);
        EXPECT_EQ(failed.error().tensor(), "m5");
        EXPECT_EQ(failed.error().page_index(), bad_page);
        EXPECT_EQ(failed.error().file(), "synthetic.gguf");
      }
    }
    source.SetPlan({});
    EXPECT_TRUE(PinShowsItsPages(*atlas, bad_run)) << "the disk was repaired";
  }
}

// Writes rubbish first, and what is right some time later.
class SlowlyWritingSource final : public PageSource {
 public:
  explicit SlowlyWritingSource(PageSource& below) : below_(below) {}
  Result<void> Read(uint64_t first_page, std::span<std::byte> target) override {
    std::fill(target.begin(), target.end(), std::byte{0xee});
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    return below_.Read(first_page, target);
  }
  std::string Describe() const override { return "slowly writing"; }

 private:
  PageSource& below_;
};

TEST_F(AtlasFaultTest, NoPageIsShownBeforeItIsThere) {
  SlowlyWritingSource source(memory_);
  const auto atlas = Open(source, PoolOf(500));
  RunPasses(*atlas, 4, 3);
}

TEST_F(AtlasFaultTest, ClosingDuringReadAheadWaitsForTheReadsAndNoMore) {
  for (int i = 0; i < 20; ++i) {
    SlowlyWritingSource source(memory_);
    const auto atlas = Open(source, PoolOf(1500));
    if (i % 2 == 0) {
      EXPECT_TRUE(PinShowsItsPages(*atlas, static_cast<uint32_t>(i)));
    }
  }
}

TEST_F(AtlasFaultTest, ClosingWhileEveryReadFailsIsSafe) {
  for (int i = 0; i < 10; ++i) {
    FaultPageSource source(memory_, {.io_error_share = 1, .failing_reads = ~uint32_t{0}});
    const auto atlas = Open(source, PoolOf(1500));
    const auto failed = atlas->Pin(7);
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().code(), ErrorCode::kIo);
    EXPECT_EQ(failed.error().tensor(), model_.map().tensors[0].name);
  }
}

}  // namespace
}  // namespace gguf_shard
