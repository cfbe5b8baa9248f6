#include "atlas/atlas.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "atlas/fault_page_source.h"
#include "tests/atlas/atlas_fixture.h"

namespace gguf_shard {
namespace {

TEST_F(AtlasTest, EveryPageIsDeliveredFromEveryPoolSize) {
  const uint64_t minimum = MinimumPages();
  for (const uint64_t pages : {minimum, minimum + 1, minimum + 40, uint64_t{640}, uint64_t{1280},
                               uint64_t{2200}, kScheduledPages, model_.tensor_pages()}) {
    const auto atlas = Open(memory_, PoolOf(pages));
    RunPasses(*atlas, 4, 3);
    const AtlasStats stats = atlas->Stats();
    EXPECT_EQ(PagesPinned(stats), 3 * kScheduledPages);
    EXPECT_EQ(stats.pool_bytes, pages * kPageBytes);
    EXPECT_LE(stats.peak_pool_bytes, stats.pool_bytes);
    EXPECT_LE(stats.pinned_bytes + stats.ring_bytes + stats.cache_bytes, stats.pool_bytes);
  }
}

TEST_F(AtlasTest, ModelThatFitsIsReadOnce) {
  const auto atlas = Open(memory_, PoolOf(1 << 20));
  RunPasses(*atlas, 3, 4);
  const AtlasStats stats = atlas->Stats();
  EXPECT_EQ(stats.bytes_read, kScheduledPages * kPageBytes);
  EXPECT_EQ(stats.pool_bytes, model_.tensor_pages() * kPageBytes);
  EXPECT_EQ(stats.page_hits, 3 * kScheduledPages);
  EXPECT_EQ(stats.evictions, 0u);
}

TEST_F(AtlasTest, DenseModelReadsModelMinusResidentInEveryPass) {
  constexpr uint32_t kPasses = 5;
  for (const uint64_t pages : {400u, 1000u, 2000u, 2500u}) {
    MemoryPageSource source(model_);
    FaultPageSource slow(source, {.delay_share = 0.2, .max_delay = std::chrono::microseconds(100)});
    uint64_t pinned_pages = 0;
    uint64_t ring_pages = 0;
    {
      const auto atlas = Open(slow, PoolOf(pages));
      RunPasses(*atlas, 4, kPasses);
      pinned_pages = atlas->Stats().pinned_bytes / kPageBytes;
      ring_pages = atlas->Stats().ring_bytes / kPageBytes;
    }
    uint64_t read_once = 0;
    uint64_t read_ahead = 0;
    for (uint64_t page = 3; page < 3 + kScheduledPages; ++page) {
      if (source.reads_of(page) == 1) {
        ++read_once;
      } else if (source.reads_of(page) == kPasses + 1) {
        ++read_ahead;
      } else {
        ASSERT_EQ(source.reads_of(page), kPasses);
      }
    }
    EXPECT_EQ(read_once, pinned_pages);
    EXPECT_LE(read_ahead, ring_pages);
  }
}

TEST_F(AtlasTest, SmallestPoolIsExactAndRunsTheWholeModel) {
  for (const uint32_t pins : {1u, 2u, 7u}) {
    AtlasOptions options;
    options.concurrent_pins = pins;
    const uint64_t minimum = MinimumPages(options);
    options.pool_bytes = minimum * kPageBytes - 1;
    const auto refused = Atlas::Open(model_.map(), memory_, scheduled_, options);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), ErrorCode::kBudgetTooSmall);
    EXPECT_NE(refused.error().expected().find(std::to_string(minimum * kPageBytes)),
              std::string::npos);
    options.pool_bytes = minimum * kPageBytes;
    const auto atlas = Open(memory_, options);
    RunPasses(*atlas, pins, 2);
    for (const uint32_t tensor : {kTable, kExperts}) {
      const RunSpan span = atlas->run_table().RunsOfTensor(tensor);
      for (uint32_t i = 0; i < span.run_count; ++i) {
        EXPECT_TRUE(PinShowsItsPages(*atlas, span.first_run + i));
      }
    }
  }
}

TEST_F(AtlasTest, AnyOrderOfPinsFromManyThreadsWithAllPinsHeld) {
  for (const uint64_t extra_pages : {0u, 100u, 1500u}) {
    AtlasOptions options;
    options.concurrent_pins = 8;
    options.pool_bytes = (MinimumPages(options) + extra_pages) * kPageBytes;
    FaultPageSource source(memory_,
                           {.delay_share = 0.2, .max_delay = std::chrono::microseconds(200)});
    const auto atlas = Open(source, options);
    const uint32_t run_count = atlas->run_table().run_count();
    const auto work = [&](uint64_t seed) {
      Random random(seed);
      uint32_t next = random.Below(run_count);
      for (int i = 0; i < 200; ++i) {
        next = random.Below(4) == 0 ? random.Below(run_count) : (next + 1) % run_count;
        const uint32_t other = random.Below(run_count);
        if (random.Below(8) == 0) atlas->Prefetch(std::vector<uint32_t>{other});
        const auto first = atlas->Pin(next);  // two per thread
        ASSERT_TRUE(first);
        const auto second = atlas->Pin(other);
        ASSERT_TRUE(second);
        EXPECT_TRUE(ShowsItsPages(atlas->run_table().run(next), first->pages(), memory_));
        EXPECT_TRUE(ShowsItsPages(atlas->run_table().run(other), second->pages(), memory_));
      }
    };
    std::vector<std::thread> threads;
    for (uint64_t i = 0; i < 4; ++i) threads.emplace_back(work, i + extra_pages);
    for (std::thread& thread : threads) thread.join();
  }
}

TEST_F(AtlasTest, RunsThatStayAreFoundWithoutAPinOnceTheyWereUsed) {
  const auto atlas = Open(memory_, PoolOf(1 << 20));
  const uint32_t run_count = atlas->run_table().run_count();
  for (uint32_t run = 0; run < run_count; ++run) EXPECT_EQ(atlas->SettledPages(run), nullptr);
  RunPasses(*atlas, 1, 2);
  uint64_t settled_pages = 0;
  for (uint32_t run = 0; run < run_count; ++run) {
    const std::byte* pages = atlas->SettledPages(run);
    if (pages == nullptr) continue;
    settled_pages += atlas->run_table().run(run).page_count;
    EXPECT_TRUE(ShowsItsPages(atlas->run_table().run(run), pages, memory_));
  }
  EXPECT_EQ(settled_pages, kScheduledPages);
}

TEST_F(AtlasTest, NoRunIsFoundWithoutAPinWhereSomeAreStreamed) {
  const auto atlas = Open(memory_, PoolOf(1000));
  RunPasses(*atlas, 1, 2);
  for (uint32_t run = 0; run < atlas->run_table().run_count(); ++run) {
    EXPECT_EQ(atlas->SettledPages(run), nullptr);
  }
}

TEST_F(AtlasTest, AbandonedPassesAndNewBeginningsAreServed) {
  const auto atlas = Open(memory_, PoolOf(900));
  for (const uint32_t matrices : {16u, 3u, 9u, 15u, 1u, 16u}) RunPasses(*atlas, 3, 1, matrices);
  EXPECT_EQ(PagesPinned(atlas->Stats()), (16 + 3 + 9 + 15 + 1 + 16) * kMatrixPages);
}

// A source whose reads wait until the test opens the gate.
class GatedSource final : public PageSource {
 public:
  explicit GatedSource(PageSource& below) : below_(below) {}

  Result<void> Read(uint64_t first_page, std::span<std::byte> target) override {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return open_; });
    lock.unlock();
    return below_.Read(first_page, target);
  }
  std::string Describe() const override { return "gated"; }

  void WaitForReads(uint32_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return arrived_ >= count; });
  }
  void SetOpen(bool open) {
    const std::lock_guard lock(mutex_);
    open_ = open;
    changed_.notify_all();
  }

 private:
  PageSource& below_;
  std::mutex mutex_;
  std::condition_variable changed_;
  uint32_t arrived_ = 0;
  bool open_ = false;
};

TEST_F(AtlasTest, PinThatWaitsIsCountedAsOneStall) {
  GatedSource source(memory_);
  AtlasOptions options = PoolOf(500);
  options.prefetch_distance = 0;
  const auto atlas = Open(source, options);
  const uint32_t run = atlas->run_table().RunsOf(3).first_run;
  std::thread waiting([&] { EXPECT_TRUE(PinShowsItsPages(*atlas, run)); });
  source.WaitForReads(1);
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  source.SetOpen(true);
  waiting.join();
  const AtlasStats stats = atlas->Stats();
  const uint32_t page_count = atlas->run_table().run(run).page_count;
  EXPECT_EQ(stats.stalls, 1u);
  EXPECT_EQ(stats.stalled_pages, page_count);
  EXPECT_GE(stats.stall_seconds, 0.004);
  EXPECT_EQ(stats.page_hits + stats.prefetch_covered_pages, 0u);
  EXPECT_EQ(stats.reads, 1u);
  EXPECT_EQ(stats.bytes_read, page_count * uint64_t{kPageBytes});
  EXPECT_GE(stats.read_seconds, 0.004);
}

TEST_F(AtlasTest, PrefetchReturnsAtOnceAndCoversTheFirstPin) {
  GatedSource source(memory_);
  AtlasOptions options = PoolOf(3000);
  options.prefetch_distance = 0;
  const auto atlas = Open(source, options);
  const RunSpan span = atlas->run_table().RunsOf(kExperts, 4);
  std::vector<uint32_t> runs(span.run_count);
  std::iota(runs.begin(), runs.end(), span.first_run);
  atlas->Prefetch(runs);  // the gate is shut: it would hang if it waited
  source.SetOpen(true);
  while (atlas->Stats().bytes_read < 96 * kPageBytes) std::this_thread::yield();
  for (int use = 0; use < 2; ++use) {
    for (const uint32_t run : runs) EXPECT_TRUE(PinShowsItsPages(*atlas, run));
  }
  const AtlasStats stats = atlas->Stats();
  EXPECT_EQ(stats.prefetch_covered_pages + stats.stalled_pages, 96u);
  EXPECT_GE(stats.prefetch_covered_pages, 84u) << "at most the last read was still on its way";
  EXPECT_EQ(stats.page_hits, 96u);
}

TEST_F(AtlasTest, RoomThatIsGivenBackIsFilledWithoutAnotherPin) {
  AtlasOptions options = PoolOf(1400);
  options.concurrent_pins = 64;
  const auto atlas = Open(memory_, options);
  ASSERT_GT(atlas->Stats().ring_bytes, 0u);
  const auto wait_for_quiet = [&] {
    uint64_t before = ~uint64_t{0};
    for (uint64_t now = atlas->Stats().bytes_read; now != before;) {
      before = now;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      now = atlas->Stats().bytes_read;
    }
    return before;
  };
  wait_for_quiet();
  std::vector<PinnedRun> held;
  for (uint32_t run = 0; run < 40; ++run) {
    auto pinned = atlas->Pin(run);
    ASSERT_TRUE(pinned);
    held.push_back(std::move(*pinned));
  }
  const uint64_t read = wait_for_quiet();
  held.clear();
  for (int i = 0; i < 4000 && atlas->Stats().bytes_read == read; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_GT(atlas->Stats().bytes_read, read);
}

TEST_F(AtlasTest, HandleMovesItsPinAlong) {
  AtlasOptions options;
  options.concurrent_pins = 1;
  options.pool_bytes = MinimumPages(options) * kPageBytes;
  const auto atlas = Open(memory_, options);
  PinnedRun held;
  for (const uint32_t run : {3u, 90u, 4u, 3u}) {
    held = PinnedRun();  // gives back the only frame
    auto pinned = atlas->Pin(run);
    ASSERT_TRUE(pinned);
    held = std::move(*pinned);
    EXPECT_EQ(pinned->pages(), nullptr);
    EXPECT_TRUE(ShowsItsPages(atlas->run_table().run(run), held.pages(), memory_));
  }
}

TEST_F(AtlasTest, OptionsOutOfRangeAreMendedAndBadSchedulesRefused) {
  AtlasOptions options = PoolOf(2000);
  options.io_threads = 0;
  options.concurrent_pins = 0;
  EXPECT_TRUE(PinShowsItsPages(*Open(memory_, options), 5));
  const auto unknown = Atlas::Open(model_.map(), memory_, {99}, options);
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code(), ErrorCode::kInvalidArgument);
}

TEST_F(AtlasTest, EmptyScheduleAndEmptyModelWork) {
  auto on_demand_only = Atlas::Open(model_.map(), memory_, {}, PoolOf(500));
  ASSERT_TRUE(on_demand_only);
  for (uint32_t run = 0; run < (*on_demand_only)->run_table().run_count(); ++run) {
    EXPECT_TRUE(PinShowsItsPages(**on_demand_only, run));
  }
  const SyntheticModel nothing;
  MemoryPageSource no_pages(nothing);
  const auto empty = Atlas::Open(nothing.map(), no_pages, {}, {});
  ASSERT_TRUE(empty);
  EXPECT_EQ((*empty)->Stats().pool_bytes, 0u);
}

}  // namespace
}  // namespace gguf_shard
