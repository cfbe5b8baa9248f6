#include "atlas/pass_tracker.h"

#include <gtest/gtest.h>

#include "tests/atlas/synthetic_model.h"

namespace gguf_shard {
namespace {

using Order = PassTracker::Order;

// 20 shards of 50 runs.
class PassTrackerTest : public ::testing::Test {
 protected:
  static constexpr uint32_t kSize = 1000;

  PassTrackerTest() : runs_(Model().map()), schedule_(MakeSchedule()), tracker_(schedule_, 4) {}

  static SyntheticModel Model() {
    SyntheticModel model;
    for (int i = 0; i < 20; ++i) model.AddMatrix("m" + std::to_string(i), 50, 32);
    return model;
  }
  Schedule MakeSchedule() const {
    std::vector<uint32_t> tensors(20);
    for (uint32_t i = 0; i < 20; ++i) tensors[i] = i;
    return std::move(*Schedule::Create(Model().map(), runs_, tensors));
  }
  void Pass(uint32_t first, uint32_t end) {
    for (uint32_t i = first; i < end; ++i) ASSERT_EQ(tracker_.Note(i), Order::kInOrder);
  }

  RunTable runs_;
  Schedule schedule_;
  PassTracker tracker_;
};

TEST_F(PassTrackerTest, FrontierFollowsAPassAndGoesOnIntoTheNext) {
  Pass(0, kSize);
  EXPECT_EQ(tracker_.frontier(), kSize);
  Pass(0, 10);
  EXPECT_EQ(tracker_.frontier(), kSize + 10);
}

TEST_F(PassTrackerTest, WorkersOutOfOrderStayInOrderOrLate) {
  EXPECT_EQ(tracker_.Note(2), Order::kInOrder);
  EXPECT_EQ(tracker_.Note(0), Order::kLate);
  EXPECT_EQ(tracker_.Note(3), Order::kInOrder);
  EXPECT_EQ(tracker_.Note(1), Order::kLate);
  EXPECT_EQ(tracker_.frontier(), 4u);
}

TEST_F(PassTrackerTest, LateRunIsNotSkippedUntilTheFrontierIsShardsAway) {
  Pass(0, 100);
  EXPECT_FALSE(tracker_.IsSkipped(99 - 40));
  Pass(100, 250);
  EXPECT_TRUE(tracker_.IsSkipped(30));
  EXPECT_FALSE(tracker_.IsSkipped(110));
}

TEST_F(PassTrackerTest, GatheringElsewhereLeavesTheFrontier) {
  Pass(0, 300);
  for (const uint32_t position : {900u, 700u, 950u, 701u, 800u}) {
    EXPECT_EQ(tracker_.Note(position), Order::kElsewhere);
  }
  EXPECT_EQ(tracker_.frontier(), 300u);
  Pass(300, 310);
}

TEST_F(PassTrackerTest, BeginningAgainSkipsTheRestOfThePass) {
  Pass(0, 300);
  EXPECT_EQ(tracker_.Note(0), Order::kInOrder);
  EXPECT_EQ(tracker_.frontier(), kSize + 1);
  EXPECT_TRUE(tracker_.IsSkipped(301));
  EXPECT_TRUE(tracker_.IsSkipped(kSize - 1));
  EXPECT_FALSE(tracker_.IsSkipped(kSize + 1));
}

TEST_F(PassTrackerTest, PinsThatFollowTheScheduleElsewhereMoveTheFrontierThere) {
  Pass(0, 300);
  EXPECT_EQ(tracker_.Note(600), Order::kElsewhere);
  EXPECT_EQ(tracker_.Note(601), Order::kElsewhere);
  EXPECT_EQ(tracker_.Note(602), Order::kElsewhere);
  EXPECT_EQ(tracker_.Note(603), Order::kInOrder);
  EXPECT_EQ(tracker_.frontier(), 604u);
}

TEST_F(PassTrackerTest, EveryPinOfASingleRunScheduleIsInOrder) {
  SyntheticModel model;
  const uint32_t tensor = model.AddMatrix("m", 1, 4);
  const RunTable runs(model.map());
  const auto schedule = Schedule::Create(model.map(), runs, std::vector{tensor});
  PassTracker tracker(*schedule, 8);
  for (uint64_t i = 0; i < 5; ++i) EXPECT_EQ(tracker.Note(0), Order::kInOrder);
  EXPECT_EQ(tracker.frontier(), 5u);
}

}  // namespace
}  // namespace gguf_shard
