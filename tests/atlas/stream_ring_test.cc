#include "atlas/stream_ring.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "tests/atlas/synthetic_model.h"

namespace gguf_shard {
namespace {

TEST(StreamRing, EntriesFollowEachOtherWithoutGaps) {
  StreamRing ring(10);
  const auto a = ring.Allocate(1, 3, 0);
  const auto b = ring.Allocate(2, 4, 1);
  ASSERT_TRUE(a && b);
  EXPECT_EQ(ring.entry(*a).slot, 0u);
  EXPECT_EQ(ring.entry(*b).slot, 3u);
  EXPECT_EQ(ring.RoomFor(3).page_count, 3u);
  EXPECT_FALSE(ring.RoomFor(3).bounded_by_tail);
  EXPECT_EQ(ring.RoomFor(4).page_count, 0u);
  EXPECT_FALSE(ring.Allocate(3, 4, 2));
}

TEST(StreamRing, RoomAtTheStartIsUsedWhenTheEndIsTooShort) {
  StreamRing ring(10);
  const auto a = ring.Allocate(1, 4, 0);
  const auto b = ring.Allocate(2, 4, 1);
  ring.Free(*a);
  EXPECT_EQ(ring.RoomFor(3).page_count, 4u);
  EXPECT_TRUE(ring.RoomFor(3).bounded_by_tail);
  const auto c = ring.Allocate(3, 3, 2);
  ASSERT_TRUE(c);
  EXPECT_EQ(ring.entry(*c).slot, 0u);
  EXPECT_EQ(ring.RoomFor(2).page_count, 0u);
  ring.Free(*b);
  EXPECT_EQ(ring.entry(*c).slot, 0u);
  EXPECT_EQ(ring.oldest()->run_index, 3u);
}

TEST(StreamRing, RoomComesBackInTheOrderOfAllocation) {
  StreamRing ring(6);
  const auto a = ring.Allocate(1, 3, 0);
  const auto b = ring.Allocate(2, 3, 1);
  ring.Free(*b);
  EXPECT_EQ(ring.RoomFor(1).page_count, 0u);
  ring.Free(*a);
  EXPECT_TRUE(ring.empty());
  EXPECT_EQ(ring.RoomFor(1).page_count, 6u);
}

TEST(StreamRing, RunLongerThanTheRingNeverFits) {
  StreamRing ring(6);
  EXPECT_FALSE(ring.Allocate(1, 7, 0));
  StreamRing none(0);
  EXPECT_FALSE(none.Allocate(1, 1, 0));
  EXPECT_EQ(none.oldest(), nullptr);
}

TEST(StreamRing, LiveEntriesNeverOverlap) {
  Random random(3);
  for (int round = 0; round < 50; ++round) {
    const uint32_t size = 1 + random.Below(40);
    StreamRing ring(size);
    std::vector<uint64_t> live;
    for (int step = 0; step < 400; ++step) {
      if (!live.empty() && random.Below(2) == 0) {
        const uint32_t victim = random.Below(static_cast<uint32_t>(live.size()));
        ring.Free(live[victim]);
        live.erase(live.begin() + victim);
        continue;
      }
      const uint32_t pages = 1 + random.Below(9);
      const StreamRing::Room room = ring.RoomFor(pages);
      const auto ticket = ring.Allocate(7, pages, 0);
      ASSERT_EQ(ticket.has_value(), room.page_count >= pages);
      if (!ticket) continue;
      const auto& entry = ring.entry(*ticket);
      ASSERT_LE(entry.slot + entry.page_count, size);
      for (const uint64_t other : live) {
        const auto& placed = ring.entry(other);
        ASSERT_TRUE(entry.slot + entry.page_count <= placed.slot ||
                    placed.slot + placed.page_count <= entry.slot);
      }
      live.push_back(*ticket);
    }
    for (const uint64_t ticket : live) ring.Free(ticket);
    EXPECT_TRUE(ring.empty());
  }
}

}  // namespace
}  // namespace gguf_shard
