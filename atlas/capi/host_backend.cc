#include <algorithm>
#include <chrono>
#include <mutex>
#include <utility>
#include <vector>

#include "atlas/atlas.h"
#include "atlas/capi/backend.h"
#include "atlas/latency_samples.h"
#include "core/check.h"
#include "core/clock.h"

namespace gguf_shard {
namespace {

class HostBackend final : public AtlasBackend {
 public:
  HostBackend(std::unique_ptr<Atlas> atlas, uint64_t most_held)
      : atlas_(std::move(atlas)), most_held_(most_held), held_(run_table().run_count()) {}

  const RunTable& run_table() const override { return atlas_->run_table(); }
  void Prefetch(std::span<const uint32_t> runs) override { atlas_->Prefetch(runs); }

  Result<void> Hold(std::span<const uint32_t> runs) override {
    {
      const std::lock_guard lock(mutex_);
      if (runs.size() > most_held_ - held_count_) {
        return Fail(
            Error(ErrorCode::kBudgetTooSmall, "more pages would be pinned than there is room for"));
      }
      held_count_ += runs.size();
    }
    atlas_->Prefetch(runs);
    std::vector<PinnedRun> pins;
    for (const uint32_t run_index : runs) {
      auto pinned = atlas_->Pin(run_index);
      if (pinned) {
        pins.push_back(std::move(*pinned));
        continue;
      }
      pins.clear();
      const std::lock_guard lock(mutex_);
      held_count_ -= runs.size();
      return Fail(std::move(pinned.error()));
    }
    const std::lock_guard lock(mutex_);
    for (size_t i = 0; i < runs.size(); ++i) held_[runs[i]].push_back(std::move(pins[i]));
    return {};
  }

  void Release(std::span<const uint32_t> runs) override {
    std::vector<PinnedRun> released;  // given back without the lock
    const std::lock_guard lock(mutex_);
    for (const uint32_t run_index : runs) {
      GS_CHECK(!held_[run_index].empty());
      released.push_back(std::move(held_[run_index].back()));
      held_[run_index].pop_back();
    }
    held_count_ -= runs.size();
  }

  Result<void> Swap(std::span<const uint32_t>, std::span<const uint32_t> before,
                    const atlas_timeline* signal) override {
    if (signal != nullptr) {
      return Fail(ErrorCode::kInvalidArgument, "host memory has no timeline semaphores");
    }
    const auto start = std::chrono::steady_clock::now();
    Release(before);
    const std::lock_guard lock(mutex_);
    swaps_.Add(SecondsSince(start));
    return {};
  }

  atlas_page PageOf(uint32_t run_index, uint32_t page_of_run) const override {
    const std::lock_guard lock(mutex_);
    GS_CHECK(!held_[run_index].empty());
    atlas_page page{};
    page.host_pointer = held_[run_index].front().pages() + uint64_t{page_of_run} * kPageBytes;
    return page;
  }

  Result<uint64_t> page_table_address() const override {
    return Fail(ErrorCode::kUnsupported, "there is no page table in host memory");
  }

  void Fill(atlas_statistics& statistics) const override {
    const AtlasStats stats = atlas_->Stats();
    statistics.memory_bytes = stats.pool_bytes;
    statistics.peak_memory_bytes = stats.peak_pool_bytes;
    statistics.resident_hit_pages = stats.page_hits;
    statistics.disk_pages = stats.bytes_read / kPageBytes;
    statistics.prefetched_pages = stats.prefetch_covered_pages;
    statistics.stalled_pages = stats.stalled_pages;
    statistics.bytes_read = stats.bytes_read;
    statistics.checked_pages = stats.bytes_read / kPageBytes;
    statistics.retried_pages = stats.retried_pages;
    statistics.stall_seconds = stats.stall_seconds;
    const std::lock_guard lock(mutex_);
    statistics.swaps = swaps_.count();
    statistics.swap_mean_seconds = swaps_.Mean();
    statistics.swap_p50_seconds = swaps_.Quantile(0.5);
    statistics.swap_p99_seconds = swaps_.Quantile(0.99);
  }

 private:
  std::unique_ptr<Atlas> atlas_;
  const uint64_t most_held_;
  mutable std::mutex mutex_;  // guards what follows
  uint64_t held_count_ = 0;
  LatencySamples swaps_;
  std::vector<std::vector<PinnedRun>> held_;  // by run
};

}  // namespace

Result<std::unique_ptr<AtlasBackend>> MakeHostBackend(const CoreMap& map, PageSource& source,
                                                      const atlas_options& options) {
  const RunTable runs(map);
  AtlasOptions settings;
  settings.pool_bytes = options.memory_bytes;
  if (options.io_threads > 0) settings.io_threads = options.io_threads;
  // As many runs as there are frames of the longest may be held at once.
  const uint64_t frames =
      options.memory_bytes / kPageBytes / std::max<uint32_t>(1, runs.max_run_pages());
  const bool all_fit = options.memory_bytes / kPageBytes >= runs.total_pages();
  settings.concurrent_pins =
      static_cast<uint32_t>(std::clamp<uint64_t>(frames, 1, uint64_t{1} << 16));
  if (all_fit) settings.concurrent_pins = 1;
  GS_ASSIGN(auto atlas, Atlas::Open(map, source, {}, settings));
  const uint64_t most_held = all_fit ? ~uint64_t{0} : settings.concurrent_pins;
  return std::make_unique<HostBackend>(std::move(atlas), most_held);
}

}  // namespace gguf_shard
