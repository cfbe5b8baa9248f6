#include "atlas/page_loader.h"

#include <gtest/gtest.h>

#include "atlas/fault_page_source.h"
#include "tests/atlas/synthetic_model.h"

namespace gguf_shard {
namespace {

// Two matrices of eight runs of 4 pages; the whole model is one job of sixteen runs.
class PageLoaderTest : public ::testing::Test {
 protected:
  PageLoaderTest()
      : model_(MakeModel()),
        memory_(model_),
        runs_(model_.map()),
        pool_(std::move(*PagePool::Allocate(runs_.total_pages()))) {
    job_.first_page = runs_.run(0).first_page;
    job_.page_count = static_cast<uint32_t>(runs_.total_pages());
    for (uint32_t i = 0; i < runs_.run_count(); ++i) job_.runs.push_back(i);
  }

  static SyntheticModel MakeModel() {
    SyntheticModel model;
    model.AddMatrix("first", 8, 4);
    model.AddMatrix("second", 8, 4);
    return model;
  }

  LoadOutcome Load(FaultPlan plan) {
    FaultPageSource source(memory_, std::move(plan));
    LoadOutcome outcome;
    PageLoader(model_.map(), runs_, source, pool_).Load(job_, outcome);
    return outcome;
  }
  const std::byte* pages_of(uint32_t run) const {
    return pool_.slot(runs_.run(run).first_page - job_.first_page);
  }

  SyntheticModel model_;
  MemoryPageSource memory_;
  RunTable runs_;
  PagePool pool_;
  LoadJob job_;
};

TEST_F(PageLoaderTest, GoodPagesComeInOneRead) {
  const LoadOutcome outcome = Load({});
  EXPECT_EQ(outcome.reads, 1u);
  EXPECT_EQ(outcome.bytes_read, 64u * kPageBytes);
  EXPECT_EQ(outcome.retried_pages, 0u);
  for (uint32_t run = 0; run < runs_.run_count(); ++run) {
    EXPECT_FALSE(outcome.errors[run]);
    EXPECT_TRUE(ShowsItsPages(runs_.run(run), pages_of(run), memory_));
  }
}

TEST_F(PageLoaderTest, FlippedPageIsReadOnceMoreAloneAndIsThenGood) {
  FaultPlan plan;
  plan.pages[runs_.run(5).first_page + 2] = PageFault::kFlip;
  const LoadOutcome outcome = Load(plan);
  EXPECT_EQ(outcome.reads, 2u);
  EXPECT_EQ(outcome.bytes_read, 65u * kPageBytes);
  EXPECT_EQ(outcome.retried_pages, 1u);
  for (uint32_t run = 0; run < runs_.run_count(); ++run) {
    EXPECT_FALSE(outcome.errors[run]);
    EXPECT_TRUE(ShowsItsPages(runs_.run(run), pages_of(run), memory_));
  }
}

TEST_F(PageLoaderTest, PageThatStaysBadIsAnErrorOfItsRunThatNamesEverything) {
  const uint64_t bad_page = runs_.run(11).first_page + 1;
  FaultPlan plan;
  plan.pages[bad_page] = PageFault::kFlip;
  plan.failing_reads = 2;
  const LoadOutcome outcome = Load(plan);
  EXPECT_EQ(outcome.retried_pages, 0u);
  for (uint32_t run = 0; run < runs_.run_count(); ++run) {
    ASSERT_EQ(outcome.errors[run].has_value(), run == 11) << run;
    if (run != 11) {
      EXPECT_TRUE(ShowsItsPages(runs_.run(run), pages_of(run), memory_));
    }
  }
  const Error& error = *outcome.errors[11];
  EXPECT_EQ(error.code(), ErrorCode::kChecksumMismatch);
  EXPECT_EQ(error.file(), "synthetic.gguf");
  EXPECT_EQ(error.tensor(), "second");
  EXPECT_EQ(error.page_index(), bad_page);
  EXPECT_FALSE(error.expected().empty());
  EXPECT_FALSE(error.found().empty());
}

TEST_F(PageLoaderTest, FailedReadIsRepeatedPageByPageAndHurtsOnlyItsRun) {
  for (const PageFault fault : {PageFault::kIoError, PageFault::kShortRead}) {
    FaultPlan plan;
    plan.pages[runs_.run(2).first_page] = fault;
    plan.failing_reads = 2;
    const LoadOutcome outcome = Load(plan);
    for (uint32_t run = 0; run < runs_.run_count(); ++run) {
      ASSERT_EQ(outcome.errors[run].has_value(), run == 2) << run;
      if (run != 2) {
        EXPECT_TRUE(ShowsItsPages(runs_.run(run), pages_of(run), memory_));
      }
    }
    EXPECT_EQ(outcome.errors[2]->code(),
              fault == PageFault::kIoError ? ErrorCode::kIo : ErrorCode::kTruncated);
    EXPECT_EQ(outcome.errors[2]->tensor(), "first");
    EXPECT_EQ(outcome.errors[2]->page_index(), runs_.run(2).first_page);
  }
}

TEST_F(PageLoaderTest, FailedReadThatPassesTheSecondTimeIsNoError) {
  FaultPlan plan;
  plan.pages[runs_.run(2).first_page] = PageFault::kIoError;
  const LoadOutcome outcome = Load(plan);
  EXPECT_EQ(outcome.reads, 1u + 64u);
  EXPECT_EQ(outcome.bytes_read, 64u * kPageBytes) << "the failed read brought nothing";
  EXPECT_EQ(outcome.retried_pages, 0u) << "no tag was wrong";
  for (const auto& error : outcome.errors) EXPECT_FALSE(error);
}

TEST_F(PageLoaderTest, PageFromTheWrongPlaceIsRefused) {
  // A source that delivers good pages of the core, but shifted by one.
  class Shifted final : public PageSource {
   public:
    explicit Shifted(PageSource& below) : below_(below) {}
    Result<void> Read(uint64_t first_page, std::span<std::byte> target) override {
      return below_.Read(first_page - 1, target);
    }
    std::string Describe() const override { return "shifted"; }

   private:
    PageSource& below_;
  };
  Shifted source(memory_);
  LoadOutcome outcome;
  PageLoader(model_.map(), runs_, source, pool_).Load(job_, outcome);
  for (const auto& error : outcome.errors) {
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), ErrorCode::kChecksumMismatch);
  }
}

}  // namespace
}  // namespace gguf_shard
