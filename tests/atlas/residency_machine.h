// A residency with a scripted disk, and the model that most of its tests use. For one thread.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "atlas/residency.h"
#include "tests/atlas/synthetic_model.h"

namespace gguf_shard {

inline std::vector<uint32_t> Range(uint32_t first, uint32_t end) {
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

  const LoadJob& newest_job() const { return in_flight_.back(); }

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
inline constexpr uint64_t kModelPages = 7680;

inline SyntheticModel DenseModel() {
  SyntheticModel model;
  for (int i = 0; i < 30; ++i) model.AddMatrix("m" + std::to_string(i), 64, 4);
  return model;
}

inline AtlasOptions PoolOf(uint64_t pages) {
  AtlasOptions options;
  options.pool_bytes = pages * kPageBytes;
  return options;
}

inline uint64_t PagesPinned(const ResidencyCounts& counts) {
  return counts.page_hits + counts.prefetch_covered_pages + counts.stalled_pages;
}

}  // namespace gguf_shard
