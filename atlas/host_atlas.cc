#include "atlas/host_atlas.h"

#include <algorithm>
#include <chrono>
#include <span>
#include <system_error>
#include <utility>

#include "core/bytes.h"
#include "core/check.h"
#include "core/clock.h"

namespace gguf_shard {
namespace {

// One thread keeps a disk busy; a second one reads while the first checks tags.
constexpr uint32_t kUringReaders = 2;

}  // namespace

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

Result<void> HostAtlas::Start(const PageSource& source, const AtlasOptions& options) {
  warmer_.Start(pool_);
  GS_TRY(MakeReaders(source, options));
  idle_readers_.reserve(readers_.size());
  try {
    for (const auto& reader : readers_) {
      threads_.emplace_back([this, raw = reader.get()] { raw->Run(*this); });
    }
  } catch (const std::system_error& error) {
    if (threads_.empty()) {
      return Fail(ErrorCode::kOutOfMemory,
                  std::string("cannot start a thread that reads pages: ") + error.what());
    }
  }
  return {};
}

Result<void> HostAtlas::MakeReaders(const PageSource& source, const AtlasOptions& options) {
  if (options.io_method != IoMethod::kThreads) {
    auto made = MakeUringReaders(source, options.io_threads);
    totals_.io_method = IoMethod::kUring;
    if (made) return {};
    if (options.io_method == IoMethod::kUring) return made;
  }
  readers_.clear();
  totals_.io_method = IoMethod::kThreads;
  for (uint32_t i = 0; i < options.io_threads; ++i) readers_.push_back(MakeThreadReader(loader_));
  return {};
}

Result<void> HostAtlas::MakeUringReaders(const PageSource& source, uint32_t reads_in_flight) {
  const auto file = source.direct_file();
  if (!file) {
    return Fail(ErrorCode::kUnsupported,
                "io_uring reads a core's file past the page cache only: not through a patch, and "
                "not where the file system has no direct I/O");
  }
  const uint32_t reader_count = std::min(kUringReaders, reads_in_flight);
  const auto depth = static_cast<uint32_t>(DivCeil(reads_in_flight, reader_count));
  const std::span ring(pool_.slot(plan_.ring_first_slot), size_t{plan_.ring_pages} * kPageBytes);
  for (uint32_t i = 0; i < reader_count; ++i) {
    GS_ASSIGN(auto reader, MakeUringReader(loader_, pool_, *file, ring, depth));
    readers_.push_back(std::move(reader));
  }
  return {};
}

HostAtlas::~HostAtlas() {
  {
    const std::lock_guard lock(mutex_);
    GS_CHECK(live_pins_ == 0 && waiters_.empty());
    stopping_ = true;
  }
  for (const auto& reader : readers_) reader->Wake();
  for (std::thread& thread : threads_) thread.join();
}

// Pins ------------------------------------------------------------------------------------------

bool HostAtlas::TakesNoLock(uint32_t run_index) const {
  return settled_ != nullptr && settled_[run_index].load(std::memory_order_acquire);
}

const std::byte* HostAtlas::SettledPages(uint32_t run_index) const {
  GS_CHECK(run_index < runs_.run_count());
  return TakesNoLock(run_index) ? pool_.slot(plan_.own_slot[run_index]) : nullptr;
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
  ++totals_.stalls;
  totals_.stall_seconds += SecondsSince(start);
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
  if (idle_readers_.empty() || !residency_.MayHaveJob()) return;
  idle_readers_.back()->Wake();
  idle_readers_.pop_back();
}

LoadQueue::Taken HostAtlas::Take(LoadJob& job, PageReader& reader) {
  const std::lock_guard lock(mutex_);
  std::erase(idle_readers_, &reader);
  if (stopping_) return Taken::kStopping;
  if (!residency_.NextJob(job)) {
    idle_readers_.push_back(&reader);
    return Taken::kNothing;
  }
  WakeReader();
  return Taken::kJob;
}

void HostAtlas::End(const LoadJob& job, LoadOutcome& outcome) {
  const std::lock_guard lock(mutex_);
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
