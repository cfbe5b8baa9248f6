#include "atlas/fault_page_source.h"

#include <gtest/gtest.h>

#include <bit>

#include "atlas/page_pool.h"
#include "tests/atlas/synthetic_model.h"

namespace gguf_shard {
namespace {

class FaultPageSourceTest : public ::testing::Test {
 protected:
  FaultPageSourceTest()
      : model_(MakeModel()), memory_(model_), pool_(std::move(*PagePool::Allocate(256))) {}

  static SyntheticModel MakeModel() {
    SyntheticModel model;
    model.AddMatrix("m", 64, 4);
    return model;
  }
  std::span<std::byte> target(uint64_t pages) const { return {pool_.slot(0), pages * kPageBytes}; }
  std::set<uint64_t> BadPages(FaultPageSource& source) {
    std::set<uint64_t> bad;
    for (uint64_t page = 0; page < 256; ++page) {
      const auto read = source.Read(page, target(1));
      const auto seen = PageAt(pool_.slot(0), 0);
      if (!read || !PageIsIntact(SyntheticCoreId(), page, seen)) bad.insert(page);
    }
    return bad;
  }

  SyntheticModel model_;
  MemoryPageSource memory_;
  PagePool pool_;
};

TEST_F(FaultPageSourceTest, WithoutFaultsItIsTheSourceBelow) {
  FaultPageSource source(memory_, {});
  ASSERT_TRUE(source.Read(10, target(50)));
  EXPECT_EQ(std::memcmp(pool_.slot(0), memory_.page(10), 50 * kPageBytes), 0);
}

TEST_F(FaultPageSourceTest, SameSeedHitsTheSamePages) {
  FaultPlan plan;
  plan.seed = 5;
  plan.flip_share = plan.io_error_share = plan.short_read_share = 0.1;
  FaultPageSource a(memory_, plan);
  FaultPageSource b(memory_, plan);
  const auto bad = BadPages(a);
  EXPECT_EQ(bad, BadPages(b));
  EXPECT_GT(bad.size(), 40u);
  EXPECT_LT(bad.size(), 120u);
  plan.seed = 6;
  FaultPageSource c(memory_, plan);
  EXPECT_NE(bad, BadPages(c));
}

TEST_F(FaultPageSourceTest, FlipChangesExactlyOneBit) {
  FaultPlan plan;
  plan.pages[20] = PageFault::kFlip;
  FaultPageSource source(memory_, plan);
  ASSERT_TRUE(source.Read(18, target(8)));
  int changed_bits = 0;
  for (size_t i = 0; i < 8 * kPageBytes; ++i) {
    changed_bits += std::popcount(static_cast<unsigned>(pool_.slot(0)[i] ^ memory_.page(18)[i]));
  }
  EXPECT_EQ(changed_bits, 1);
  EXPECT_EQ(source.counts().flipped_pages, 1u);
}

TEST_F(FaultPageSourceTest, FaultsEndAfterTheirReadsAndComeBackAfterThePeriod) {
  FaultPlan plan;
  plan.pages[20] = PageFault::kIoError;
  plan.failing_reads = 2;
  plan.period = 3;
  FaultPageSource source(memory_, plan);
  std::vector<bool> good;
  for (int i = 0; i < 7; ++i) good.push_back(source.Read(20, target(1)).has_value());
  EXPECT_EQ(good, (std::vector<bool>{false, false, true, false, false, true, false}));
  EXPECT_EQ(source.counts().failed_reads, 5u);
  plan.period = 0;
  source.SetPlan(plan);
  good.clear();
  for (int i = 0; i < 4; ++i) good.push_back(source.Read(20, target(1)).has_value());
  EXPECT_EQ(good, (std::vector<bool>{false, false, true, true}));
}

TEST_F(FaultPageSourceTest, FailedReadLeavesNoGoodBytes) {
  FaultPlan plan;
  plan.pages[20] = PageFault::kShortRead;
  FaultPageSource source(memory_, plan);
  const auto read = source.Read(18, target(8));
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code(), ErrorCode::kTruncated);
  for (uint64_t i = 0; i < 8; ++i) {
    EXPECT_FALSE(PageIsIntact(SyntheticCoreId(), 18 + i, PageAt(pool_.slot(0), i)));
  }
}

TEST_F(FaultPageSourceTest, DelaysAreCounted) {
  FaultPlan plan;
  plan.delay_share = 0.5;
  plan.max_delay = std::chrono::microseconds(20);
  FaultPageSource source(memory_, plan);
  BadPages(source);
  EXPECT_GT(source.counts().delayed_reads, 80u);
  EXPECT_LT(source.counts().delayed_reads, 180u);
}

}  // namespace
}  // namespace gguf_shard
