#include "atlas/run_table.h"

#include <gtest/gtest.h>

#include "tests/atlas/synthetic_model.h"

namespace gguf_shard {
namespace {

void ExpectRunsTileEverySlice(const SyntheticModel& model, const RunTable& runs) {
  uint32_t next_run = 0;
  uint64_t pages = 0;
  for (uint32_t t = 0; t < model.map().tensors.size(); ++t) {
    const MapTensor& tensor = model.map().tensors[t];
    const uint64_t unit_pages =
        tensor.layout.layout == MemoryLayout::kColumnMajor ? tensor.layout.pages_per_strip() : 1;
    for (uint32_t slice = 0; slice < tensor.layout.slice_count; ++slice) {
      const RunSpan span = runs.RunsOf(t, slice);
      ASSERT_EQ(span.first_run, next_run);
      uint64_t page = tensor.slice_pages(slice).first_page;
      uint64_t unit = 0;
      for (uint32_t i = 0; i < span.run_count; ++i) {
        const Run& run = runs.run(span.first_run + i);
        EXPECT_EQ(run.tensor_index, t);
        EXPECT_EQ(run.slice, slice);
        EXPECT_EQ(run.first_page, page);
        EXPECT_EQ(run.first_unit, unit);
        EXPECT_EQ(run.page_count, run.unit_count * unit_pages);
        EXPECT_GT(run.page_count, 0u);
        for (uint64_t p = 0; p < run.page_count; ++p) {
          EXPECT_EQ(runs.RunOfPage(t, slice, page - tensor.slice_pages(slice).first_page + p),
                    span.first_run + i);
        }
        page += run.page_count;
        unit += run.unit_count;
      }
      EXPECT_EQ(page, tensor.slice_pages(slice).end_page());
      next_run += span.run_count;
      pages += tensor.layout.pages_per_slice;
    }
  }
  EXPECT_EQ(next_run, runs.run_count());
  EXPECT_EQ(pages, runs.total_pages());
}

TEST(RunTable, RunsTileEverySliceInOrder) {
  SyntheticModel model;
  Random random(7);
  for (int i = 0; i < 60; ++i) {
    model.AddMatrix("m" + std::to_string(i), 1 + random.Below(50), 1 + random.Below(40),
                    1 + random.Below(3));
    model.AddTable("t" + std::to_string(i), 1 + random.Below(100));
    model.AddVector("v" + std::to_string(i), 1 + random.Below(70));
  }
  for (const uint32_t target : {1u, 8u, 32u, 100u}) {
    ExpectRunsTileEverySlice(model, RunTable(model.map(), target));
  }
}

TEST(RunTable, LargeMatrixHasRunsNearTheTarget) {
  SyntheticModel model;
  const uint32_t matrix = model.AddMatrix("matrix", 1000, 5);
  const RunTable runs(model.map(), 32);
  const RunSpan span = runs.RunsOf(matrix);
  for (uint32_t i = 0; i + 1 < span.run_count; ++i) {
    EXPECT_GE(runs.run(span.first_run + i).page_count, 24u);
    EXPECT_LE(runs.run(span.first_run + i).page_count, 40u);
  }
}

TEST(RunTable, StripLongerThanTheTargetIsOneRun) {
  SyntheticModel model;
  const uint32_t matrix = model.AddMatrix("matrix", 20, 56);
  const RunTable runs(model.map(), 32);
  EXPECT_EQ(runs.RunsOf(matrix).run_count, 20u);
  EXPECT_EQ(runs.max_run_pages(), 56u);
}

TEST(RunTable, SmallMatrixIsCutForAtLeastEightWorkers) {
  for (const uint64_t strips : {8u, 9u, 15u, 17u, 28u, 33u, 64u}) {
    SyntheticModel model;
    const uint32_t matrix = model.AddMatrix("matrix", strips, 1);
    EXPECT_GE(RunTable(model.map()).RunsOf(matrix).run_count, 8u) << strips;
  }
  SyntheticModel model;
  const uint32_t matrix = model.AddMatrix("matrix", 5, 2);
  EXPECT_EQ(RunTable(model.map()).RunsOf(matrix).run_count, 5u);
}

TEST(RunTable, LengthIsChosenSoThatTheLastRunIsFull) {
  SyntheticModel model;
  const uint32_t matrix = model.AddMatrix("matrix", 28 * 9, 1);  // 252 strips: 9 runs of 28
  const RunTable runs(model.map(), 32);
  const RunSpan span = runs.RunsOf(matrix);
  EXPECT_EQ(runs.run(span.first_run + span.run_count - 1).page_count,
            runs.run(span.first_run).page_count);
}

TEST(RunTable, GatheredRowsComeInShortRunsAndVectorsInLongOnes) {
  SyntheticModel model;
  const uint32_t table = model.AddTable("table", 800);
  const uint32_t vector = model.AddVector("vector", 32);
  const RunTable runs(model.map(), 32);
  EXPECT_EQ(runs.run(runs.RunsOf(table).first_run).page_count, 8u);
  EXPECT_EQ(runs.RunsOf(vector).run_count, 1u);
}

TEST(RunTable, EmptyTensorHasNoRuns) {
  SyntheticModel model;
  const uint32_t empty = model.AddMatrix("empty", 0, 1);
  const uint32_t matrix = model.AddMatrix("matrix", 3, 1);
  const RunTable runs(model.map());
  EXPECT_EQ(runs.RunsOf(empty).run_count, 0u);
  EXPECT_EQ(runs.RunsOf(matrix).first_run, 0u);
  EXPECT_EQ(RunTable(SyntheticModel().map()).run_count(), 0u);
}

}  // namespace
}  // namespace gguf_shard
