// The model and the ways of running it that the atlas's tests share.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "atlas/atlas.h"
#include "tests/atlas/synthetic_model.h"

namespace gguf_shard {

inline constexpr uint32_t kMatrices = 16;
inline constexpr uint64_t kMatrixPages = 160;
inline constexpr uint64_t kScheduledPages = kMatrices * kMatrixPages;

// 16 matrices of 40 strips of 4 pages, which are the schedule; a table; experts.
class AtlasTest : public ::testing::Test {
 protected:
  AtlasTest() : model_(MakeModel()), memory_(model_), scheduled_(kMatrices) {
    std::iota(scheduled_.begin(), scheduled_.end(), 0);
  }

  static SyntheticModel MakeModel() {
    SyntheticModel model;
    for (uint32_t i = 0; i < kMatrices; ++i) model.AddMatrix("m" + std::to_string(i), 40, 4);
    model.AddTable("table", 400, Zone::kCold);
    model.AddMatrix("experts", 16, 6, 8);
    return model;
  }
  static constexpr uint32_t kTable = kMatrices;
  static constexpr uint32_t kExperts = kMatrices + 1;

  AtlasOptions PoolOf(uint64_t pages) const {
    AtlasOptions options;
    options.pool_bytes = pages * kPageBytes;
    return options;
  }
  uint64_t MinimumPages(const AtlasOptions& options = {}) const {
    return Atlas::MinimumPoolBytes(model_.map(), scheduled_, options) / kPageBytes;
  }
  std::unique_ptr<Atlas> Open(PageSource& source, const AtlasOptions& options) const {
    auto atlas = Atlas::Open(model_.map(), source, scheduled_, options);
    EXPECT_TRUE(atlas) << atlas.error().ToString();
    return std::move(*atlas);
  }

  // Pins a run and compares every byte.
  ::testing::AssertionResult PinShowsItsPages(Atlas& atlas, uint32_t run_index) const {
    const auto pinned = atlas.Pin(run_index);
    if (!pinned) return ::testing::AssertionFailure() << pinned.error().ToString();
    return ShowsItsPages(atlas.run_table().run(run_index), pinned->pages(), memory_);
  }

  // As a runtime does it: workers take the runs of a matrix by a counter, and wait for each other
  // before the next matrix.
  void RunPasses(Atlas& atlas, uint32_t workers, uint32_t passes,
                 uint32_t matrices = kMatrices) const {
    std::vector<std::atomic<uint32_t>> next(size_t{passes} * matrices);
    std::barrier all_done(workers);
    const auto work = [&] {
      for (uint32_t step = 0; step < passes * matrices; ++step) {
        const RunSpan span = atlas.run_table().RunsOf(step % matrices);
        for (uint32_t i = next[step]++; i < span.run_count; i = next[step]++) {
          EXPECT_TRUE(PinShowsItsPages(atlas, span.first_run + i));
        }
        all_done.arrive_and_wait();
      }
    };
    std::vector<std::thread> threads;
    for (uint32_t i = 0; i < workers; ++i) threads.emplace_back(work);
    for (std::thread& thread : threads) thread.join();
  }

  SyntheticModel model_;
  MemoryPageSource memory_;
  std::vector<uint32_t> scheduled_;
};

inline uint64_t PagesPinned(const AtlasStats& stats) {
  return stats.page_hits + stats.prefetch_covered_pages + stats.stalled_pages;
}

}  // namespace gguf_shard
