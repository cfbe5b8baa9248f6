#include "atlas/host_atlas.h"

#include <algorithm>
#include <chrono>
#include <system_error>
#include <utility>

#include "core/check.h"

namespace gguf_shard {

HostAtlas::HostAtlas(const CoreMap& map, PageSource& source, RunTable runs, Schedule schedule,
                     ResidencyPlan plan, PagePool pool, const AtlasOptions& options)
    : runs_(std::move(runs)),
      schedule_(std::move(schedule)),
      plan_(std::move(plan)),
      pool_(std::move(pool)),
      loader_(map, runs_, source, pool_),
      residency_(map, runs_, schedule_, plan_, options) {
  waiters_.reserve(options.concurrent_pins);
  if (plan_.streamed_pages == 0) {
    settled_ = std::make_unique<std::atomic<bool>[]>(runs_.run_count());
  }
}

Result<void> HostAtlas::Start(uint32_t io_threads) {
  try {
    for (uint32_t i = 0; i < io_threads; ++i) readers_.emplace_back([this] { ReadLoop(); });
  } catch (const std::system_error& error) {
    if (readers_.empty()) {
      return Fail(ErrorCode::kOutOfMemory,
                  std::string("cannot start a thread that reads pages: ") + error.what());
    }
  }
  return {};
}

HostAtlas::~HostAtlas() {
  {
    const std::lock_guard lock(mutex_);
    GS_CHECK(live_pins_ == 0 && waiters_.empty());
    stopping_ = true;
  }
  work_.notify_all();
  for (std::thread& reader : readers_) reader.join();
}

// Pins ------------------------------------------------------------------------------------------

bool HostAtlas::TakesNoLock(uint32_t run_index) const {
  return settled_ != nullptr && settled_[run_index].load(std::memory_order_acquire);
}

PinnedRun HostAtlas::HandleOf(uint32_t run_index) {
  if (plan_.own_slot[run_index] == kNoSlot) ++live_pins_;
  return MakeHandle(run_index, pool_.slot(residency_.slot(run_index)));
}

Result<PinnedRun> HostAtlas::Pin(uint32_t run_index) {
  GS_CHECK(run_index < runs_.run_count());
  if (TakesNoLock(run_index)) {
    settled_hit_pages_.fetch_add(runs_.run(run_index).page_count, std::memory_order_relaxed);
    return MakeHandle(run_index, pool_.slot(plan_.own_slot[run_index]));
  }
  std::unique_lock lock(mutex_);
  if (!residency_.Pin(run_index)) return Wait(run_index, lock);
  if (settled_ != nullptr && residency_.IsSettled(run_index)) {
    settled_[run_index].store(true, std::memory_order_release);
  }
  WakeReader();
  return HandleOf(run_index);
}

Result<PinnedRun> HostAtlas::Wait(uint32_t run_index, std::unique_lock<std::mutex>& lock) {
  Waiter waiter{run_index, false, std::nullopt, {}};
  waiters_.push_back(&waiter);
  WakeReader();
  const auto start = std::chrono::steady_clock::now();
  waiter.ended.wait(lock, [&] { return waiter.done; });
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  ++totals_.stalls;
  totals_.stall_seconds += elapsed.count();
  if (waiter.error) return Fail(std::move(*waiter.error));
  return HandleOf(run_index);
}

void HostAtlas::Unpin(uint32_t run_index) {
  if (plan_.own_slot[run_index] != kNoSlot) return;  // it stays, pinned or not
  const std::lock_guard lock(mutex_);
  GS_CHECK(live_pins_ > 0);
  --live_pins_;
  residency_.Unpin(run_index);
  WakeReader();
}

void HostAtlas::Prefetch(std::span<const uint32_t> run_indices) {
  const std::lock_guard lock(mutex_);
  for (const uint32_t run_index : run_indices) {
    GS_CHECK(run_index < runs_.run_count());
    residency_.Prefetch(run_index);
  }
  WakeReader();
}

// Reading ---------------------------------------------------------------------------------------

// With the lock held. A reader that finds a job wakes the next one itself.
void HostAtlas::WakeReader() {
  if (idle_readers_ > 0 && residency_.MayHaveJob()) work_.notify_one();
}

void HostAtlas::ReadLoop() {
  LoadJob job;
  LoadOutcome outcome;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (!residency_.NextJob(job)) {
      ++idle_readers_;
      work_.wait(lock);
      --idle_readers_;
      continue;
    }
    WakeReader();
    lock.unlock();
    loader_.Load(job, outcome);
    lock.lock();
    EndJob(job, outcome);
  }
}

void HostAtlas::EndJob(const LoadJob& job, LoadOutcome& outcome) {
  totals_.reads += outcome.reads;
  totals_.bytes_read += outcome.bytes_read;
  totals_.retried_pages += outcome.retried_pages;
  totals_.read_seconds += outcome.read_seconds;
  for (size_t i = 0; i < job.runs.size(); ++i) {
    if (outcome.errors[i]) {
      residency_.Failed(job.runs[i]);
    } else {
      residency_.Loaded(job.runs[i]);
    }
    EndWaits(job.runs[i], outcome.errors[i]);
  }
}

void HostAtlas::EndWaits(uint32_t run_index, const std::optional<Error>& error) {
  std::erase_if(waiters_, [&](Waiter* waiter) {
    if (waiter->run_index != run_index) return false;
    waiter->error = error;
    waiter->done = true;
    waiter->ended.notify_one();
    return true;
  });
}

AtlasStats HostAtlas::Stats() const {
  const std::lock_guard lock(mutex_);
  const ResidencyCounts& counts = residency_.counts();
  AtlasStats stats = totals_;
  stats.pool_bytes = pool_.page_count() * kPageBytes;
  stats.peak_pool_bytes = counts.peak_used_pages * kPageBytes;
  stats.pinned_bytes = uint64_t{plan_.own_pages} * kPageBytes;
  stats.ring_bytes = uint64_t{plan_.ring_pages} * kPageBytes;
  for (const FrameClass& frame_class : plan_.frame_classes) {
    stats.cache_bytes += frame_class.page_count() * kPageBytes;
  }
  stats.page_hits = counts.page_hits + settled_hit_pages_.load(std::memory_order_relaxed);
  stats.prefetch_covered_pages = counts.prefetch_covered_pages;
  stats.stalled_pages = counts.stalled_pages;
  stats.evictions = counts.evictions;
  return stats;
}

}  // namespace gguf_shard
