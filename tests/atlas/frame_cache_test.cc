#include "atlas/frame_cache.h"

#include <gtest/gtest.h>

namespace gguf_shard {
namespace {

std::vector<FrameClass> OneClass(uint32_t frames) { return {{0, 4, frames}}; }

// Fills a frame as a load does.
uint32_t Load(FrameCache& cache, uint32_t run, Zone zone = Zone::kNormal, bool prefetched = false) {
  const auto frame = cache.TakeFree(0);
  EXPECT_TRUE(frame.has_value());
  cache.SetRun(*frame, run);
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
  EXPECT_EQ(cache.slot(*cache.TakeFree(0)), 10u);
  EXPECT_EQ(cache.slot(*cache.TakeFree(0)), 14u);
  EXPECT_FALSE(cache.TakeFree(0));
  EXPECT_EQ(cache.slot(*cache.TakeFree(1)), 18u);
}

TEST(FrameCache, VictimIsTheLeastRecentlyUsed) {
  FrameCache cache(OneClass(3));
  const uint32_t a = Load(cache, 1);
  const uint32_t b = Load(cache, 2);
  const uint32_t c = Load(cache, 3);
  EXPECT_EQ(cache.Victim(0, false), a);
  Use(cache, a);
  EXPECT_EQ(cache.Victim(0, false), b);
  cache.Free(b);
  EXPECT_EQ(cache.Victim(0, false), c);
}

TEST(FrameCache, BusyFramesAreNoVictims) {
  FrameCache cache(OneClass(2));
  const uint32_t a = Load(cache, 1);
  const uint32_t b = Load(cache, 2);
  cache.MakeBusy(a);
  EXPECT_EQ(cache.Victim(0, false), b);
  cache.MakeBusy(b);
  EXPECT_FALSE(cache.Victim(0, false));
}

TEST(FrameCache, ColdLeavesBeforeNormalBeforeHigh) {
  FrameCache cache(OneClass(3));
  const uint32_t high = Load(cache, 1, Zone::kHigh);
  const uint32_t normal = Load(cache, 2, Zone::kNormal);
  const uint32_t cold = Load(cache, 3, Zone::kCold);
  EXPECT_EQ(cache.Victim(0, false), cold);
  cache.Free(cold);
  EXPECT_EQ(cache.Victim(0, false), normal);
  cache.Free(normal);
  EXPECT_EQ(cache.Victim(0, false), high);
}

TEST(FrameCache, PrefetchesDoNotEvictEachOtherUntilTheyAreOld) {
  FrameCache cache(OneClass(2));
  const uint32_t a = Load(cache, 1, Zone::kNormal, /*prefetched=*/true);
  const uint32_t b = Load(cache, 2, Zone::kNormal, /*prefetched=*/true);
  EXPECT_FALSE(cache.Victim(0, /*for_prefetch=*/true));
  EXPECT_EQ(cache.Victim(0, /*for_prefetch=*/false), a) << "a waiting Pin may take it";
  Use(cache, b);
  EXPECT_FALSE(cache.Victim(0, /*for_prefetch=*/true)) << "one use is not a turn of both frames";
  Use(cache, b);
  EXPECT_EQ(cache.Victim(0, /*for_prefetch=*/true), a);
}

}  // namespace
}  // namespace gguf_shard
