#include "atlas/frame_cache.h"

#include <gtest/gtest.h>

#include <random>

namespace gguf_shard {
namespace {

std::vector<FrameClass> OneClass(uint32_t frames) { return {{0, 4, frames}}; }

// Fills a frame as a load does.
uint32_t Load(FrameCache& cache, uint32_t run, Zone zone = Zone::kNormal, bool prefetched = false) {
  const auto frame = cache.Next(0, prefetched);
  EXPECT_TRUE(frame.has_value());
  cache.Take(*frame, run);
  cache.MakeIdle(*frame, zone, prefetched);
  return *frame;
}

void Use(FrameCache& cache, uint32_t frame, Zone zone = Zone::kNormal) {
  cache.MakeBusy(frame);
  cache.CountUse(frame);
  cache.MakeIdle(frame, zone, false);
}

TEST(FrameCache, FramesLieBehindEachOtherInTheirClass) {
  const std::vector<FrameClass> classes = {{10, 4, 2}, {18, 2, 3}};
  FrameCache cache(classes);
  for (const uint32_t slot : {10u, 14u}) {
    const auto frame = cache.Next(0, false);
    ASSERT_TRUE(frame);
    EXPECT_EQ(cache.slot(*frame), slot);
    cache.Take(*frame, 1);
  }
  EXPECT_FALSE(cache.Next(0, false));
  EXPECT_EQ(cache.slot(*cache.Next(1, false)), 18u);
  EXPECT_FALSE(cache.Next(2, false));
}

TEST(FrameCache, VictimIsTheLeastRecentlyUsed) {
  FrameCache cache(OneClass(3));
  const uint32_t a = Load(cache, 1);
  const uint32_t b = Load(cache, 2);
  const uint32_t c = Load(cache, 3);
  EXPECT_EQ(cache.Next(0, false), a);
  Use(cache, a);
  EXPECT_EQ(cache.Next(0, false), b);
  cache.Free(b);
  cache.Take(b, 4);
  EXPECT_EQ(cache.Next(0, false), c);
}

TEST(FrameCache, FreeFrameIsTakenBeforeAnyoneIsEvicted) {
  FrameCache cache(OneClass(2));
  Load(cache, 1);
  const uint32_t b = Load(cache, 2);
  cache.Free(b);
  EXPECT_EQ(cache.Next(0, false), b);
  EXPECT_FALSE(cache.IsIdle(b));
}

TEST(FrameCache, BusyFramesAreNoVictims) {
  FrameCache cache(OneClass(2));
  const uint32_t a = Load(cache, 1);
  const uint32_t b = Load(cache, 2);
  cache.MakeBusy(a);
  EXPECT_EQ(cache.Next(0, false), b);
  cache.MakeBusy(b);
  EXPECT_FALSE(cache.Next(0, false));
}

TEST(FrameCache, ColdLeavesBeforeNormalBeforeHigh) {
  FrameCache cache(OneClass(3));
  const uint32_t high = Load(cache, 1, Zone::kHigh);
  const uint32_t normal = Load(cache, 2, Zone::kNormal);
  const uint32_t cold = Load(cache, 3, Zone::kCold);
  for (const uint32_t frame : {cold, normal, high}) {
    EXPECT_EQ(cache.Next(0, false), frame);
    cache.MakeBusy(frame);
  }
}

TEST(FrameCache, PrefetchesDoNotEvictEachOtherUntilTheyAreOld) {
  FrameCache cache(OneClass(3));
  const uint32_t a = Load(cache, 1, Zone::kNormal, /*prefetched=*/true);
  const uint32_t b = Load(cache, 2, Zone::kNormal, /*prefetched=*/true);
  Load(cache, 3, Zone::kNormal, /*prefetched=*/true);
  EXPECT_FALSE(cache.Next(0, /*for_prefetch=*/true));
  EXPECT_EQ(cache.Next(0, /*for_prefetch=*/false), a) << "a waiting Pin may take it";
  Use(cache, b);
  EXPECT_EQ(cache.Next(0, /*for_prefetch=*/true), b) << "used frames make room for announced ones";
  EXPECT_EQ(cache.Next(0, /*for_prefetch=*/false), b) << "and for waiting Pins";
  Use(cache, b);
  Use(cache, b);
  EXPECT_EQ(cache.Next(0, /*for_prefetch=*/true), a) << "nobody came for it";
}

TEST(FrameCache, FrequencyEvictsWhatWasUsedLeastWhateverItsAge) {
  FrameCache cache(OneClass(3), CachePolicy::kFrequency, /*run_count=*/8);
  double pass = 0;
  const auto load = [&](uint32_t run) {
    const uint32_t frame = *cache.Next(0, false);
    if (cache.IsIdle(frame)) cache.Free(frame);
    cache.Take(frame, run);
    cache.CountUse(frame, pass += 0.1);
    cache.MakeIdle(frame, Zone::kNormal, false);
    return frame;
  };
  const uint32_t often = load(1);
  Use(cache, often);
  const uint32_t once = load(2);
  const uint32_t twice = load(3);
  Use(cache, twice);
  EXPECT_EQ(cache.Next(0, false), once);
  EXPECT_EQ(load(4), once);
  EXPECT_EQ(load(2), once) << "the history of run 2 survives its eviction";
  EXPECT_EQ(load(2 + 3), often) << "two uses each now; this one's are the oldest";
}

TEST(FrameCache, RankedFramesStayInOrderUnderAnyUse) {
  constexpr uint32_t kFrames = 40;
  FrameCache cache(OneClass(kFrames), CachePolicy::kLru);
  std::vector<uint32_t> by_age;
  for (uint32_t i = 0; i < kFrames; ++i) by_age.push_back(Load(cache, i));
  std::mt19937 random(3);
  for (int round = 0; round < 2000; ++round) {
    ASSERT_EQ(cache.Next(0, false), by_age.front());
    const size_t chosen = random() % by_age.size();
    const uint32_t frame = by_age[chosen];
    by_age.erase(by_age.begin() + static_cast<ptrdiff_t>(chosen));
    by_age.push_back(frame);
    if (round % 3 == 0) {
      cache.Free(frame);
      cache.Take(frame, 1000u + static_cast<uint32_t>(round));
      cache.MakeIdle(frame, Zone::kNormal, false);
    } else {
      Use(cache, frame);
    }
  }
}

}  // namespace
}  // namespace gguf_shard
