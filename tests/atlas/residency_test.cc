#include "atlas/residency.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <numeric>
#include <set>

#include "tests/atlas/synthetic_model.h"

namespace gguf_shard {
namespace {

std::vector<uint32_t> Range(uint32_t first, uint32_t end) {
  std::vector<uint32_t> values(end - first);
  std::iota(values.begin(), values.end(), first);
  return values;
}

// A residency with a disk that is scripted: jobs are taken and ended when the test says so. The
// pool holds page numbers instead of pages, so that every pin can be checked.
class Machine {
 public:
  Machine(const SyntheticModel& model, const std::vector<uint32_t>& scheduled, AtlasOptions options)
      : runs_(model.map()),
        schedule_(std::move(*Schedule::Create(model.map(), runs_, scheduled))),
        plan_(std::move(*PlanResidency(model.map(), runs_, schedule_, options))),
        residency_(model.map(), runs_, schedule_, plan_, options),
        pool_(plan_.pool_pages, 0),
        loads_(runs_.run_count(), 0) {}

  const RunTable& runs() const { return runs_; }
  const Schedule& schedule() const { return schedule_; }
  const ResidencyPlan& plan() const { return plan_; }
  Residency& residency() { return residency_; }
  const ResidencyCounts& counts() const { return residency_.counts(); }
  uint64_t pages_read() const { return pages_read_; }
  uint64_t jobs() const { return jobs_; }
  // After some passes: resident runs were read once, streamed runs once per pass; those that wait
  // in the ring for the next pass once more.
  void ExpectReadOncePerPass(uint32_t passes) const {
    uint64_t read_ahead_pages = 0;
    for (const uint32_t run : schedule_.runs()) {
      const bool resident = plan_.own_slot[run] != kNoSlot;
      if (resident || loads_[run] == passes) {
        ASSERT_EQ(loads_[run], resident ? 1 : passes);
        continue;
      }
      ASSERT_EQ(loads_[run], passes + 1);
      read_ahead_pages += runs_.run(run).page_count;
    }
    EXPECT_LE(read_ahead_pages, plan_.ring_pages);
  }
  size_t jobs_in_flight() const { return in_flight_.size(); }

  bool TakeJob() {
    LoadJob job;
    const bool may = residency_.MayHaveJob();
    if (!residency_.NextJob(job)) return false;
    EXPECT_TRUE(may) << "a sleeping reader would not have been woken";
    ++jobs_;
    for (uint32_t i = 0; i < job.page_count; ++i) pool_.at(job.first_slot + i) = 0;
    in_flight_.push_back(std::move(job));
    return true;
  }
  // Ends a job in flight; the runs for which `fails` is true fail.
  template <typename Fails>
  void EndJob(size_t index, Fails fails) {
    const LoadJob job = std::move(in_flight_[index]);
    in_flight_.erase(in_flight_.begin() + static_cast<ptrdiff_t>(index));
    pages_read_ += job.page_count;
    for (const uint32_t run : job.runs) ++loads_[run];
    for (uint32_t i = 0; i < job.page_count; ++i) pool_[job.first_slot + i] = job.first_page + i;
    for (const uint32_t run : job.runs) {
      if (fails(run)) {
        residency_.Failed(run);
      } else {
        residency_.Loaded(run);
      }
    }
  }
  void EndJob() {
    EndJob(0, [](uint32_t) { return false; });
  }
  // An infinitely fast disk: everything that can be read is read.
  void Drain() {
    while (TakeJob()) EndJob();
  }

  void ExpectShown(uint32_t run_index) const {
    const Run& run = runs_.run(run_index);
    for (uint32_t i = 0; i < run.page_count; ++i) {
      ASSERT_EQ(pool_[residency_.slot(run_index) + i], run.first_page + i) << "run " << run_index;
    }
  }
  // Pins and unpins, waiting as long as it takes.
  void Use(uint32_t run_index) {
    Hold(run_index);
    residency_.Unpin(run_index);
  }
  void Hold(uint32_t run_index) {
    const bool resident = residency_.Pin(run_index);
    if (!resident) {
      ASSERT_TRUE(TakeJob()) << "nobody would ever load run " << run_index;
      EndJob();
      Drain();
    }
    ExpectShown(run_index);
  }
  void Pass(uint32_t first_position, uint32_t end_position, bool fast_disk = true) {
    for (uint32_t i = first_position; i < end_position; ++i) {
      Use(schedule_.RunAt(i));
      if (fast_disk) Drain();
    }
  }
  void Pass() { Pass(0, schedule_.size()); }

 private:
  RunTable runs_;
  Schedule schedule_;
  ResidencyPlan plan_;
  Residency residency_;
  std::vector<uint64_t> pool_;
  std::vector<uint32_t> loads_;
  std::vector<LoadJob> in_flight_;
  uint64_t pages_read_ = 0;
  uint64_t jobs_ = 0;
};

// 30 matrices of 64 strips of 4 pages, 7680 pages in 240 runs.
constexpr uint64_t kModelPages = 7680;

SyntheticModel DenseModel() {
  SyntheticModel model;
  for (int i = 0; i < 30; ++i) model.AddMatrix("m" + std::to_string(i), 64, 4);
  return model;
}

AtlasOptions PoolOf(uint64_t pages) {
  AtlasOptions options;
  options.pool_bytes = pages * kPageBytes;
  return options;
}

uint64_t PagesPinned(const ResidencyCounts& counts) {
  return counts.page_hits + counts.prefetch_covered_pages + counts.stalled_pages;
}

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

TEST(Residency, AbandonedPassCostsAtMostTheRingAndRecovers) {
  const SyntheticModel model = DenseModel();
  Machine machine(model, Range(0, 30), PoolOf(3600));
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

// Callers that do anything within the rules, a disk that ends jobs in any order and fails now and
// then. Every pin must show its pages, and whenever someone waits, there is a job or one in flight.
class Chaos {
 public:
  Chaos(const SyntheticModel& model, std::vector<uint32_t> scheduled, AtlasOptions options,
        uint64_t seed)
      : machine_(model, scheduled, options), random_(seed), limit_(options.concurrent_pins) {}

  void Step() {
    switch (random_.Below(8)) {
      case 0:
      case 1:
      case 2:
        BeginPin();
        break;
      case 3:
      case 4:
        if (!held_.empty()) EndPin(random_.Below(static_cast<uint32_t>(held_.size())));
        break;
      case 5:
        machine_.TakeJob();
        break;
      case 6:
        EndSomeJob();
        break;
      case 7:
        if (random_.Below(4) == 0) machine_.residency().Prefetch(AnyRun());
        break;
    }
  }

  // The callers do nothing more: everyone who waits gets what he waits for.
  void Finish() {
    for (int i = 0; i < 100000 && !(waiting_.empty() && held_.empty()); ++i) {
      while (!held_.empty()) EndPin(0);
      if (waiting_.empty()) break;
      const bool took = machine_.TakeJob();
      ASSERT_TRUE(took || machine_.jobs_in_flight() > 0) << "someone waits for ever";
      EndSomeJob();
    }
    EXPECT_TRUE(waiting_.empty());
  }

  uint64_t pages_pinned() const { return PagesPinned(machine_.counts()); }

 private:
  uint32_t AnyRun() {
    if (random_.Below(3) > 0 && machine_.schedule().size() > 0) {
      // Mostly in order, with jumps.
      if (random_.Below(50) == 0) position_ = random_.Below(machine_.schedule().size());
      if (random_.Below(100) == 0) position_ = 0;
      const uint64_t jitter = random_.Below(3);
      return machine_.schedule().RunAt(position_++ + jitter);
    }
    return random_.Below(machine_.runs().run_count());
  }
  void BeginPin() {
    if (held_.size() + waiting_.size() >= limit_) {
      // All callers wait or hold: someone must be able to go on.
      if (held_.empty()) {
        ASSERT_TRUE(machine_.TakeJob() || machine_.jobs_in_flight() > 0);
      }
      return;
    }
    const uint32_t run = AnyRun();
    if (machine_.residency().Pin(run)) {
      machine_.ExpectShown(run);
      held_.push_back(run);
    } else {
      waiting_.push_back(run);
    }
  }
  void EndPin(uint32_t index) {
    machine_.ExpectShown(held_[index]);
    machine_.residency().Unpin(held_[index]);
    held_.erase(held_.begin() + index);
  }
  void EndSomeJob() {
    if (machine_.jobs_in_flight() == 0) return;
    std::set<uint32_t> ended, failed;
    const size_t index = random_.Below(static_cast<uint32_t>(machine_.jobs_in_flight()));
    machine_.EndJob(index, [&](uint32_t run) {
      const bool fails = random_.Below(20) == 0;
      (fails ? failed : ended).insert(run);
      return fails;
    });
    std::erase_if(waiting_, [&](uint32_t run) {
      if (ended.contains(run)) {
        machine_.ExpectShown(run);
        held_.push_back(run);
      }
      return ended.contains(run) || failed.contains(run);
    });
  }

  Machine machine_;
  Random random_;
  size_t limit_;
  uint64_t position_ = 0;
  std::vector<uint32_t> held_;
  std::vector<uint32_t> waiting_;
};

TEST(Residency, ChaosNeverShowsWrongPagesAndNeverDeadlocks) {
  SyntheticModel model;
  std::vector<uint32_t> scheduled;
  for (int i = 0; i < 12; ++i) {
    scheduled.push_back(model.AddMatrix("m" + std::to_string(i), 20, 3));
    if (i % 4 == 0) scheduled.push_back(model.AddVector("v" + std::to_string(i), 1));
  }
  model.AddTable("table", 300, Zone::kCold);
  model.AddMatrix("experts_up", 24, 4, 8);
  model.AddMatrix("experts_down", 8, 12, 8);
  const RunTable runs(model.map());
  Random random(11);
  for (uint64_t seed = 0; seed < 150; ++seed) {
    AtlasOptions options;
    options.concurrent_pins = 1 + random.Below(5);
    options.prefetch_distance = random.Below(4) == 0 ? 0 : 1 + random.Below(20);
    const uint64_t minimum = MinimumPoolPages(runs, options);
    const uint64_t extra =
        seed % 3 == 0 ? 0 : random.Below(static_cast<uint32_t>(model.tensor_pages()));
    options.pool_bytes = (minimum + extra) * kPageBytes;
    Chaos chaos(model, scheduled, options, seed);
    for (int step = 0; step < 3000; ++step) {
      chaos.Step();
      if (::testing::Test::HasFatalFailure()) return;
    }
    chaos.Finish();
    EXPECT_GT(chaos.pages_pinned(), 500u);
  }
}

}  // namespace
}  // namespace gguf_shard
