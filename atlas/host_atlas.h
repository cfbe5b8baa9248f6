// The atlas over host memory: a pool, the residency state machine, and the threads that read.
//
// One mutex guards the residency, the waiters and the statistics; reads and tag checks happen
// outside it, on the threads of the readers (atlas/page_reader.h). A Pin of a run that is not
// resident leaves a Waiter and sleeps; the I/O thread that ends the run's load wakes it. When no
// scheduled run is streamed, Pins of runs that have settled in their own slots take no lock at all.
//
// Thread-safe, as atlas/atlas.h says. The destructor waits for reads in flight; no Pin may be
// running and no handle alive then.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "atlas/atlas.h"
#include "atlas/page_loader.h"
#include "atlas/page_pool.h"
#include "atlas/page_reader.h"
#include "atlas/pool_warmer.h"
#include "atlas/residency.h"
#include "atlas/residency_plan.h"
#include "atlas/schedule.h"

namespace gguf_shard {

class HostAtlas final : public Atlas, private LoadQueue {
 public:
  // Starts no threads: Start does.
  HostAtlas(const CoreMap& map, PageSource& source, RunTable runs, Schedule schedule,
            ResidencyPlan plan, PagePool pool, const AtlasOptions& options);
  ~HostAtlas() override;

  // kOutOfMemory when the system refuses a thread.
  Result<void> Start(const PageSource& source, const AtlasOptions& options);

  const RunTable& run_table() const override { return runs_; }
  Result<PinnedRun> Pin(uint32_t run_index) override;
  const std::byte* SettledPages(uint32_t run_index) const override;
  void Prefetch(std::span<const uint32_t> run_indices) override;
  AtlasStats Stats() const override;

 private:
  struct Waiter {
    uint32_t run_index;
    bool done = false;
    std::optional<Error> error;
    std::condition_variable ended;
  };

  void Unpin(uint32_t run_index) override;
  bool TakesNoLock(uint32_t run_index) const;
  Result<PinnedRun> Wait(uint32_t run_index, std::unique_lock<std::mutex>& lock);
  void WakeReader();
  Taken Take(LoadJob& job, PageReader& reader) override;
  void End(const LoadJob& job, LoadOutcome& outcome) override;
  Result<void> MakeReaders(const PageSource& source, const AtlasOptions& options);
  Result<void> MakeUringReaders(const PageSource& source, uint32_t reads_in_flight);
  void EndWaits(uint32_t run_index, const std::optional<Error>& error);
  PinnedRun HandleOf(uint32_t run_index);

  const RunTable runs_;
  const Schedule schedule_;
  const ResidencyPlan plan_;
  const PagePool pool_;
  const PageLoader loader_;
  PoolWarmer warmer_;

  // Set once a run needs no lock; allocated only when no scheduled run is streamed.
  std::unique_ptr<std::atomic<bool>[]> settled_;
  std::atomic<uint64_t> settled_hit_pages_{0};

  mutable std::mutex mutex_;  // guards everything below
  Residency residency_;
  std::vector<Waiter*> waiters_;
  std::vector<PageReader*> idle_readers_;
  bool stopping_ = false;
  uint64_t live_pins_ = 0;  // handles of runs that are counted
  AtlasStats totals_;       // of reads and stalls

  std::vector<std::unique_ptr<PageReader>> readers_;
  std::vector<std::thread> threads_;
};

}  // namespace gguf_shard
