#include "atlas/schedule.h"

#include <gtest/gtest.h>

#include "tests/atlas/synthetic_model.h"

namespace gguf_shard {
namespace {

class ScheduleTest : public ::testing::Test {
 protected:
  ScheduleTest()
      : a_(model_.AddMatrix("a", 4, 32)),
        unused_(model_.AddMatrix("unused", 2, 32)),
        b_(model_.AddMatrix("b", 3, 32)),
        c_(model_.AddMatrix("c", 5, 32)),
        runs_(model_.map()) {}

  Schedule Make(std::vector<uint32_t> tensors) {
    return std::move(*Schedule::Create(model_.map(), runs_, tensors));
  }

  SyntheticModel model_;
  uint32_t a_, unused_, b_, c_;
  RunTable runs_;
};

TEST_F(ScheduleTest, PositionsFollowTheOrderOfTheTensors) {
  const Schedule schedule = Make({c_, a_, b_});
  EXPECT_EQ(schedule.size(), 12u);
  EXPECT_EQ(schedule.RunAt(0), runs_.RunsOf(c_).first_run);
  EXPECT_EQ(schedule.RunAt(5), runs_.RunsOf(a_).first_run);
  EXPECT_EQ(schedule.RunAt(12 + 9), runs_.RunsOf(b_).first_run);
  EXPECT_EQ(schedule.PositionOf(runs_.RunsOf(b_).first_run + 2), 11u);
  EXPECT_EQ(schedule.PositionOf(runs_.RunsOf(unused_).first_run), Schedule::kNoPosition);
}

TEST_F(ScheduleTest, TurnOfIsTheNextUseOfAPosition) {
  const Schedule schedule = Make({a_, b_, c_});
  EXPECT_EQ(schedule.TurnOf(5, 0), 5u);
  EXPECT_EQ(schedule.TurnOf(5, 5), 5u);
  EXPECT_EQ(schedule.TurnOf(5, 6), 12u + 5);
  EXPECT_EQ(schedule.TurnOf(0, 36), 36u);
}

TEST_F(ScheduleTest, AheadEndCountsWholeShardsBehindTheCurrentOne) {
  const Schedule schedule = Make({a_, b_, c_});  // shards start at 0, 4, 7
  EXPECT_EQ(schedule.AheadEnd(2, 0), 2u);
  EXPECT_EQ(schedule.AheadEnd(0, 1), 7u);
  EXPECT_EQ(schedule.AheadEnd(3, 1), 7u);
  EXPECT_EQ(schedule.AheadEnd(4, 1), 12u);
  EXPECT_EQ(schedule.AheadEnd(7, 1), 12u + 4) << "read-ahead crosses the border between passes";
  EXPECT_EQ(schedule.AheadEnd(12 + 7, 2), 24u + 7);
  EXPECT_EQ(schedule.AheadEnd(0, 300), 100 * 12u + 4);
}

TEST_F(ScheduleTest, EverySliceIsAShard) {
  SyntheticModel model;
  const uint32_t experts = model.AddMatrix("experts", 2, 32, 3);
  const RunTable runs(model.map());
  const auto schedule = Schedule::Create(model.map(), runs, std::vector{experts});
  ASSERT_TRUE(schedule);
  EXPECT_EQ(schedule->size(), 6u);
  EXPECT_EQ(schedule->ShardOf(3), 1u);
  EXPECT_EQ(schedule->ShardOf(6), 3u);
}

TEST_F(ScheduleTest, RefusesUnknownAndRepeatedTensors) {
  const auto unknown = Schedule::Create(model_.map(), runs_, std::vector<uint32_t>{9});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code(), ErrorCode::kInvalidArgument);
  const auto twice = Schedule::Create(model_.map(), runs_, std::vector{a_, b_, a_});
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().tensor(), "a");
}

}  // namespace
}  // namespace gguf_shard
