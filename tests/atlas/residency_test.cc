#include "atlas/residency.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <numeric>
#include <set>

#include "tests/atlas/residency_machine.h"

namespace gguf_shard {
namespace {

TEST(Residency, ModelThatFitsIsReadOnceAndNeverAgain) {
  const SyntheticModel model = DenseModel();
  Machine machine(model, Range(0, 30), PoolOf(kModelPages));
  machine.Drain();
  machine.Pass();
  EXPECT_EQ(machine.pages_read(), kModelPages);
  EXPECT_EQ(machine.counts().prefetch_covered_pages, kModelPages) << "a fast disk is always ahead";
  machine.Pass();
  EXPECT_EQ(machine.pages_read(), kModelPages);
  EXPECT_EQ(machine.counts().page_hits, kModelPages);
  EXPECT_EQ(machine.counts().evictions, 0u);
}

TEST(Residency, EveryPassReadsExactlyWhatIsNotResident) {
  const SyntheticModel model = DenseModel();
  for (const uint64_t pool_pages : {400u, 1800u, 3600u, 5400u, 7000u}) {
    Machine machine(model, Range(0, 30), PoolOf(pool_pages));
    const uint64_t streamed_pages = machine.plan().streamed_pages;
    EXPECT_GT(streamed_pages, kModelPages - pool_pages - 1);
    machine.Drain();
    machine.Pass();
    for (uint32_t pass = 1; pass < 6; ++pass) {
      const ResidencyCounts before = machine.counts();
      machine.Pass();
      machine.ExpectReadOncePerPass(pass + 1);
      const ResidencyCounts after = machine.counts();
      EXPECT_EQ(after.page_hits - before.page_hits, kModelPages - streamed_pages);
      EXPECT_EQ(after.prefetch_covered_pages - before.prefetch_covered_pages, streamed_pages);
      EXPECT_EQ(after.stalled_pages, 0u);
      EXPECT_EQ(PagesPinned(after) - PagesPinned(before), kModelPages);
      EXPECT_LE(after.peak_used_pages, pool_pages);
    }
  }
}

TEST(Residency, SlowDiskChangesWaitsButNotReads) {
  const SyntheticModel model = DenseModel();
  Machine machine(model, Range(0, 30), PoolOf(3600));
  for (uint32_t pass = 1; pass < 5; ++pass) {
    machine.Pass(0, 240, /*fast_disk=*/false);
    machine.ExpectReadOncePerPass(pass);
  }
  EXPECT_LE(machine.jobs(), 4 * 240u / 2) << "a waiting Pin's run is read with those that follow";
  EXPECT_EQ(PagesPinned(machine.counts()), 4 * kModelPages);
}

TEST(Residency, FirstPagesOfTheNextPassAreReadDuringThisOne) {
  const SyntheticModel model = DenseModel();
  Machine machine(model, Range(0, 30), PoolOf(2000));
  machine.Drain();
  machine.Pass(0, 230);
  // Nothing is read any more: whatever the first run finds was there before the pass ended.
  machine.Pass(230, 240);
  const uint64_t stalled = machine.counts().stalled_pages;
  machine.Pass(0, 10, /*fast_disk=*/false);
  EXPECT_EQ(machine.counts().stalled_pages, stalled);
}

TEST(Residency, AdjacentRunsAreReadTogether) {
  const SyntheticModel model = DenseModel();
  Machine machine(model, Range(0, 30), PoolOf(3600));
  machine.Drain();
  machine.Pass();
  const uint64_t jobs = machine.jobs();
  machine.Pass();
  const uint64_t run_count = machine.plan().streamed_pages / machine.runs().max_run_pages();
  EXPECT_LE(machine.jobs() - jobs, run_count / 2);
}

TEST(Residency, WithoutPrefetchDistanceNothingIsReadUnasked) {
  const SyntheticModel model = DenseModel();
  AtlasOptions options = PoolOf(3600);
  options.prefetch_distance = 0;
  Machine machine(model, Range(0, 30), options);
  EXPECT_FALSE(machine.TakeJob());
  machine.Pass();
  EXPECT_EQ(machine.counts().stalled_pages, kModelPages);
  EXPECT_EQ(machine.counts().prefetch_covered_pages, 0u);
  const uint64_t streamed_pages = machine.plan().streamed_pages;
  machine.Pass();
  EXPECT_EQ(machine.pages_read(), kModelPages + streamed_pages);
  EXPECT_EQ(machine.counts().stalled_pages, kModelPages + streamed_pages);
  EXPECT_EQ(machine.counts().page_hits, kModelPages - streamed_pages);
}

TEST(Residency, PrefetchDistanceBoundsReadAhead) {
  const SyntheticModel model = DenseModel();
  AtlasOptions options = PoolOf(kModelPages);
  options.prefetch_distance = 2;
  Machine machine(model, Range(0, 30), options);
  machine.Drain();
  EXPECT_EQ(machine.pages_read(), 3 * 256u) << "the current matrix and two more";
  machine.Pass(0, 8);
  EXPECT_EQ(machine.pages_read(), 4 * 256u);
}

TEST(Residency, WaitingPinIsServedByTheVeryNextJob) {
  const SyntheticModel model = DenseModel();
  Machine machine(model, Range(0, 30), PoolOf(1000));
  for (uint32_t i = 0; i < 480; ++i) {
    const uint32_t run = machine.schedule().RunAt(i);
    if (!machine.residency().Pin(run)) {
      ASSERT_TRUE(machine.TakeJob());
      EXPECT_TRUE(std::ranges::count(machine.newest_job().runs, run)) << i;
      machine.EndJob();
    }
    machine.ExpectShown(run);
    machine.residency().Unpin(run);
  }
}

TEST(Residency, ReadAheadStopsHalfAPassAhead) {
  const SyntheticModel model = DenseModel();
  AtlasOptions options = PoolOf(kModelPages);
  options.prefetch_distance = 1000;
  Machine machine(model, Range(0, 30), options);
  machine.Drain();
  EXPECT_EQ(machine.pages_read(), kModelPages / 2);
}

TEST(Residency, WorkersOutOfOrderCauseNoExtraReads) {
  const SyntheticModel model = DenseModel();
  Machine machine(model, Range(0, 30), PoolOf(3000));
  Random random(5);
  const auto pass = [&] {
    for (uint32_t matrix = 0; matrix < 30; ++matrix) {
      std::deque<uint32_t> held;  // at most three, and the lagging one
      const uint32_t lagging = random.Below(8);
      for (uint32_t i = 0; i < 8; ++i) {
        if (i == lagging) continue;
        machine.Hold(machine.schedule().RunAt(matrix * 8 + i));
        held.push_back(machine.schedule().RunAt(matrix * 8 + i));
        if (held.size() == 3 || random.Below(2) == 0) {
          machine.residency().Unpin(held.front());
          held.pop_front();
        }
        machine.Drain();
      }
      machine.Use(machine.schedule().RunAt(matrix * 8 + lagging));
      for (const uint32_t run : held) machine.residency().Unpin(run);
      machine.Drain();
    }
  };
  machine.Drain();
  for (uint32_t i = 1; i < 10; ++i) {
    pass();
    machine.ExpectReadOncePerPass(i);
  }
}

// A worker may lose its processor between taking a run and pinning it, for a time in which the
// others use hundreds. What it comes back for is freed as ever, or it would bar the ring.
TEST(Residency, WorkerThatComesLateDoesNotStopReadAhead) {
  SyntheticModel model;
  for (int i = 0; i < 6; ++i) model.AddMatrix("m" + std::to_string(i), 100, 32);
  Machine machine(model, Range(0, 6), PoolOf(3000));
  machine.Drain();
  machine.Pass();
  const uint32_t matrix_runs = machine.schedule().size() / 6;
  for (uint32_t late = 0; late < matrix_runs; ++late) {
    const uint32_t run = machine.schedule().RunAt(late);
    if (machine.plan().own_slot[run] != kNoSlot) continue;
    machine.Pass(0, late);
    machine.Pass(late + 1, matrix_runs);
    machine.Use(run);
    machine.Drain();
    const uint64_t stalled_pages = machine.counts().stalled_pages;
    machine.Pass(matrix_runs, machine.schedule().size());
    ASSERT_EQ(machine.counts().stalled_pages, stalled_pages) << "after run " << late;
  }
}

TEST(Residency, AbandonedPassCostsAtMostTheRingAndRecovers) {
  const SyntheticModel model = DenseModel();
  for (const uint64_t pool_pages : {1000u, 3600u, 7300u}) {
    Machine machine(model, Range(0, 30), PoolOf(pool_pages));
    machine.Drain();
    machine.Pass();
    const uint64_t streamed_pages = machine.plan().streamed_pages;
    uint64_t stalled_pages = 0;
    for (const uint32_t stop : {37u, 120u, 200u, 225u}) {
      machine.Pass(0, stop);
      const uint64_t read = machine.pages_read();
      machine.Pass();
      EXPECT_LE(machine.pages_read() - read, streamed_pages + machine.plan().ring_pages) << stop;
      // The first run may come as a surprise, the others may not.
      EXPECT_LE(machine.counts().stalled_pages - stalled_pages, machine.runs().max_run_pages());
      stalled_pages = machine.counts().stalled_pages;
    }
  }
}

TEST(Residency, PassWithoutItsOutputMatrixKeepsWhatWasReadForTheNext) {
  const SyntheticModel model = DenseModel();
  Machine machine(model, Range(0, 30), PoolOf(3600));
  machine.Drain();
  machine.Pass();
  machine.Pass();
  for (int batch = 0; batch < 3; ++batch) {
    const uint64_t read = machine.pages_read();
    machine.Pass(0, 232);
    EXPECT_LE(machine.pages_read() - read,
              machine.plan().streamed_pages + machine.plan().ring_pages);
  }
}

TEST(Residency, AnyOrderIsServedFromTheSmallestPool) {
  SyntheticModel model = DenseModel();
  const uint32_t table = model.AddTable("table", 60);
  AtlasOptions options;
  options.concurrent_pins = 3;
  options.pool_bytes = MinimumPoolPages(RunTable(model.map()), options) * kPageBytes;
  Machine machine(model, Range(0, 30), options);
  const uint32_t table_run = machine.runs().RunsOf(table).first_run;
  for (int i = 239; i >= 0; --i) {
    machine.Hold(machine.schedule().RunAt(static_cast<uint32_t>(i)));
    machine.Hold(table_run);
    machine.Use(machine.schedule().RunAt(static_cast<uint32_t>((i + 100) % 240)));
    machine.residency().Unpin(table_run);
    machine.residency().Unpin(machine.schedule().RunAt(static_cast<uint32_t>(i)));
  }
  machine.Pass(0, 240);
}

TEST(Residency, StreamingPassesDoNotSweepTheCache) {
  SyntheticModel model = DenseModel();
  const uint32_t table = model.AddTable("table", 8000);
  Machine machine(model, Range(0, 30), PoolOf(4000));
  const RunSpan span = machine.runs().RunsOf(table);
  machine.Drain();
  const std::vector<uint32_t> rows = {span.first_run, span.first_run + 7, span.first_run + 100};
  for (const uint32_t run : rows) machine.Use(run);
  machine.Pass();
  machine.Pass();
  const uint64_t read = machine.pages_read();
  const uint64_t hits = machine.counts().page_hits;
  for (const uint32_t run : rows) machine.Use(run);
  EXPECT_EQ(machine.pages_read(), read);
  EXPECT_EQ(machine.counts().page_hits, hits + 3 * 8);
}

TEST(Residency, ScheduledRunsThatPassThroughFramesDoNotSweepTheCache) {
  SyntheticModel model = DenseModel();
  const uint32_t experts = model.AddMatrix("experts", 64, 4, 60);  // runs as long as the others
  AtlasOptions options = PoolOf(4000);
  options.prefetch_distance = 0;
  Machine machine(model, Range(0, 30), options);
  const uint32_t first = machine.runs().RunsOf(experts).first_run;
  for (uint32_t i = 0; i < 8; ++i) machine.Use(first + i);
  machine.Pass();
  const uint64_t read = machine.pages_read();
  for (uint32_t i = 0; i < 8; ++i) machine.Use(first + i);
  EXPECT_EQ(machine.pages_read(), read);
}

TEST(Residency, TiedEmbeddingIsGatheredAtAnyTimeAndMultipliedInTurn) {
  const SyntheticModel model = DenseModel();  // the last matrix is also gathered
  for (const uint64_t pool_pages : std::vector<uint64_t>{300, 1800, 5400, kModelPages}) {
    Machine machine(model, Range(0, 30), PoolOf(pool_pages));
    Random random(pool_pages);
    machine.Drain();
    machine.Pass();
    const uint64_t read = machine.pages_read();
    uint64_t gathered = 0;
    for (int pass = 0; pass < 5; ++pass) {
      for (int token = 0; token < 3; ++token, ++gathered) {
        machine.Use(machine.schedule().RunAt(232 + random.Below(8)));
      }
      machine.Pass();
    }
    EXPECT_LE(machine.pages_read() - read,
              5 * machine.plan().streamed_pages + gathered * machine.runs().max_run_pages());
  }
}

TEST(Residency, PrefetchedRunsAreCoveredAtTheirFirstPinAndHitsAfter) {
  SyntheticModel model = DenseModel();
  const uint32_t experts = model.AddMatrix("experts", 32, 8, 16);
  Machine machine(model, Range(0, 4), PoolOf(3000));
  const RunSpan span = machine.runs().RunsOf(experts, 5);
  machine.Drain();
  for (uint32_t i = 0; i < span.run_count; ++i) machine.residency().Prefetch(span.first_run + i);
  const uint64_t read = machine.pages_read();
  machine.Drain();
  EXPECT_EQ(machine.pages_read() - read, 256u);
  for (int use = 0; use < 2; ++use) {
    for (uint32_t i = 0; i < span.run_count; ++i) machine.Use(span.first_run + i);
  }
  EXPECT_EQ(machine.counts().prefetch_covered_pages, 256u);
  EXPECT_EQ(machine.counts().page_hits, 256u);
  EXPECT_EQ(machine.pages_read() - read, 256u);
}

TEST(Residency, PrefetchNeverEvictsPinnedOrJustPrefetchedRuns) {
  SyntheticModel model = DenseModel();
  const uint32_t experts = model.AddMatrix("experts", 64, 4, 60);
  AtlasOptions options = PoolOf(8 * 32);  // eight frames
  options.prefetch_distance = 0;
  Machine machine(model, Range(0, 30), options);
  const uint32_t first = machine.runs().RunsOf(experts).first_run;
  uint32_t frame_count = 0;
  for (const FrameClass& frames : machine.plan().frame_classes) frame_count += frames.frame_count;
  machine.Hold(first);
  for (uint32_t i = 1; i < 100; ++i) machine.residency().Prefetch(first + i);
  machine.Drain();
  EXPECT_LE(machine.pages_read(), frame_count * 32u);
  machine.ExpectShown(first);
  const uint64_t covered = machine.counts().prefetch_covered_pages;
  machine.Use(first + 1);
  EXPECT_EQ(machine.counts().prefetch_covered_pages, covered + 32);
  machine.residency().Unpin(first);
}

TEST(Residency, AnnouncedRunsThatDoNotFitAreLoadedAsOthersAreUsed) {
  SyntheticModel model = DenseModel();
  const uint32_t experts = model.AddMatrix("experts", 64, 4, 60);
  AtlasOptions options = PoolOf(12 * 32);
  options.prefetch_distance = 0;
  Machine machine(model, Range(0, 30), options);
  const uint32_t first = machine.runs().RunsOf(experts).first_run;
  for (uint32_t i = 0; i < 200; ++i) machine.residency().Prefetch(first + i);
  machine.Drain();
  for (uint32_t i = 0; i < 200; ++i) {
    machine.Use(first + i);
    machine.Drain();
  }
  EXPECT_EQ(machine.counts().prefetch_covered_pages, 200u * 32);
  EXPECT_EQ(machine.pages_read(), 200u * 32);
}

TEST(Residency, AnnouncedNeighboursAreReadTogether) {
  SyntheticModel model = DenseModel();
  const uint32_t experts = model.AddMatrix("experts", 64, 2, 60);  // runs of 16 pages
  Machine machine(model, Range(0, 4), PoolOf(4000));
  machine.Drain();
  const uint64_t jobs = machine.jobs();
  const RunSpan span = machine.runs().RunsOf(experts, 7);
  for (uint32_t i = 0; i < span.run_count; ++i) machine.residency().Prefetch(span.first_run + i);
  machine.Drain();
  EXPECT_EQ(machine.jobs() - jobs, 2u) << "eight runs, four to a read";
  for (uint32_t i = 0; i < span.run_count; ++i) machine.Use(span.first_run + i);
  EXPECT_EQ(machine.counts().stalled_pages, 0u);
}

TEST(Residency, WishIsForgottenOnceItsRunIsPinned) {
  SyntheticModel model = DenseModel();
  const uint32_t experts = model.AddMatrix("experts", 64, 4, 60);
  AtlasOptions options = PoolOf(4 * 32);
  options.prefetch_distance = 0;
  Machine machine(model, Range(0, 30), options);
  const uint32_t first = machine.runs().RunsOf(experts).first_run;
  for (uint32_t i = 0; i < 20; ++i) machine.residency().Prefetch(first + i);
  for (uint32_t i = 20; i > 0; --i) {
    ASSERT_FALSE(machine.residency().Pin(first + i - 1));
    ASSERT_TRUE(machine.TakeJob());
    machine.EndJob();
    machine.residency().Unpin(first + i - 1);
  }
  const uint64_t read = machine.pages_read();
  machine.Drain();
  EXPECT_EQ(machine.pages_read(), read);
}

TEST(Residency, FailedLoadEndsTheWaitAndTheNextPinTriesAgain) {
  const SyntheticModel model = DenseModel();
  Machine machine(model, Range(0, 30), PoolOf(1800));
  const uint32_t run = machine.schedule().RunAt(100);
  ASSERT_FALSE(machine.residency().Pin(run));
  ASSERT_FALSE(machine.residency().Pin(run));
  ASSERT_TRUE(machine.TakeJob());
  machine.EndJob(0, [&](uint32_t failing) { return failing == run; });
  EXPECT_EQ(machine.counts().stalled_pages, 0u);
  machine.Use(run);
  EXPECT_EQ(machine.counts().stalled_pages, 32u);
}

TEST(Residency, FailedReadAheadIsReadAgainWhenItsTurnComes) {
  const SyntheticModel model = DenseModel();
  Machine machine(model, Range(0, 30), PoolOf(1800));
  while (machine.TakeJob()) machine.EndJob(0, [](uint32_t) { return true; });
  EXPECT_EQ(machine.counts().used_pages, 0u);
  machine.Pass();
  EXPECT_EQ(PagesPinned(machine.counts()), kModelPages);
}

}  // namespace
}  // namespace gguf_shard
