#include "bench/vulkan/paging.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <string>
#include <vector>

#include "atlas/latency_samples.h"
#include "bench/vulkan/measure.h"
#include "core/clock.h"
#include "tests/atlas/synthetic_model.h"

namespace gguf_shard {
namespace {

constexpr uint32_t kRunPages = 32;
constexpr uint32_t kMatrixPages = 4096;  // 16 MiB
constexpr uint32_t kSetRuns = 8;
constexpr uint32_t kSwaps = 300;
constexpr uint32_t kExperts = 64;

// Uses every run once, as a token does.
Result<void> Pass(VulkanAtlas& atlas, gpu::Queue& queue) {
  for (uint32_t run = 0; run < atlas.run_table().run_count();) {
    GS_ASSIGN(const bool in_wave, atlas.Need(run));
    if (in_wave) {
      ++run;
      continue;
    }
    GS_ASSIGN(const auto point, atlas.Publish());
    atlas.EndWave(point);
  }
  GS_ASSIGN(const auto point, atlas.Publish());
  atlas.EndWave(point);
  return queue.Wait(point.value);
}

uint64_t LoadedPages(const VulkanAtlas& atlas) {
  const VulkanAtlasStats stats = atlas.Stats();
  return stats.disk_pages + stats.host_hit_pages;
}

}  // namespace

Result<double> LinkSeconds(gpu::Device& device, const gpu::Buffer& from, const gpu::Buffer& to,
                           uint64_t to_offset, uint64_t bytes) {
  QueueTimer timer(device.transfer_queue());
  const RecordWork copy = [&](gpu::Commands& commands) -> Result<void> {
    commands.Copy(from, 0, to, to_offset, bytes);
    return {};
  };
  GS_ASSIGN(const auto pair, timer.Compare(copy, copy));
  return std::min(pair.first, pair.second);
}

Result<double> PagingRate(gpu::Device& device, TransferMethod method, uint64_t model_bytes) {
  SyntheticModel model;
  const uint64_t matrices = std::max<uint64_t>(2, model_bytes / kPageBytes / kMatrixPages);
  for (uint64_t i = 0; i < matrices; ++i) {
    model.AddMatrix("matrix " + std::to_string(i), kMatrixPages / kRunPages, kRunPages);
  }
  MemoryPageSource source(model);
  std::vector<uint32_t> schedule(matrices);
  std::iota(schedule.begin(), schedule.end(), 0);
  VulkanAtlasOptions options;
  options.transfer = method;
  const uint64_t all = VulkanAtlas::ResidentMemoryBytes(model.map(), device, options);
  options.memory_bytes = std::max(VulkanAtlas::MinimumMemoryBytes(model.map(), device, options),
                                  all - model.tensor_pages() * kPageBytes / 2);
  options.host_cache_bytes = model.tensor_pages() * kPageBytes;
  GS_ASSIGN(const auto atlas, VulkanAtlas::Open(model.map(), source, device, schedule, options));
  GS_TRY(Pass(*atlas, device.compute_queue()));
  const uint64_t before = LoadedPages(*atlas);
  const auto start = std::chrono::steady_clock::now();
  do {
    GS_TRY(Pass(*atlas, device.compute_queue()));
  } while (SecondsSince(start) < 1);
  return static_cast<double>((LoadedPages(*atlas) - before) * kPageBytes) / SecondsSince(start);
}

Result<SwapTimes> SwapLatency(gpu::Device& device, bool resident) {
  SyntheticModel model;
  model.AddMatrix("experts", 1, kRunPages, kExperts);  // a run to each
  MemoryPageSource source(model);
  VulkanAtlasOptions options;
  options.held_runs = 2 * kSetRuns;
  options.runs_per_wave = 1;
  options.memory_bytes = resident ? VulkanAtlas::ResidentMemoryBytes(model.map(), device, options)
                                  : VulkanAtlas::MinimumMemoryBytes(model.map(), device, options);
  GS_ASSIGN(const auto atlas, VulkanAtlas::Open(model.map(), source, device, {}, options));
  Random random(5);
  std::vector<uint32_t> before;
  LatencySamples whole;
  for (uint32_t i = 0; i < kSwaps; ++i) {
    std::vector<uint32_t> set(kExperts);
    std::iota(set.begin(), set.end(), 0);
    for (uint32_t k = 0; k < kSetRuns; ++k) std::swap(set[k], set[k + random.Below(kExperts - k)]);
    set.resize(kSetRuns);
    const auto start = std::chrono::steady_clock::now();
    GS_TRY(atlas->Hold(set));
    GS_ASSIGN(const auto point, atlas->ShowHeld(set, before));
    GS_TRY(device.compute_queue().Wait(point.value));
    if (i >= kExperts) whole.Add(SecondsSince(start));
    atlas->Release(before);
    before = std::move(set);
  }
  atlas->Release(before);
  if (!resident) return SwapTimes{whole.Mean(), whole.Quantile(0.5), whole.Quantile(0.99)};
  const VulkanAtlasStats stats = atlas->Stats();
  return SwapTimes{stats.swap_mean_seconds, stats.swap_p50_seconds, stats.swap_p99_seconds};
}

}  // namespace gguf_shard
