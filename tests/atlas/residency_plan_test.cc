#include "atlas/residency_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "tests/atlas/synthetic_model.h"

namespace gguf_shard {
namespace {

struct Planned {
  RunTable runs;
  Schedule schedule;
  ResidencyPlan plan;
};

Planned Plan(const SyntheticModel& model, const std::vector<uint32_t>& scheduled,
             const AtlasOptions& options) {
  RunTable runs(model.map());
  Schedule schedule = std::move(*Schedule::Create(model.map(), runs, scheduled));
  auto plan = PlanResidency(model.map(), runs, schedule, options);
  EXPECT_TRUE(plan) << plan.error().ToString();
  return {std::move(runs), std::move(schedule), std::move(*plan)};
}

AtlasOptions PlanPoolOf(uint64_t pages) {
  AtlasOptions options;
  options.pool_bytes = pages * kPageBytes;
  return options;
}

std::vector<uint32_t> PlanRange(uint32_t first, uint32_t end) {
  std::vector<uint32_t> values(end - first);
  std::iota(values.begin(), values.end(), first);
  return values;
}

// 40 matrices of 200 strips of 4 pages: 32000 pages.
SyntheticModel PlanDenseModel() {
  SyntheticModel model;
  for (int i = 0; i < 40; ++i) model.AddMatrix("m" + std::to_string(i), 200, 4);
  return model;
}

// Every slot is in exactly one place, and none is outside the pool.
void ExpectPartition(const Planned& planned) {
  const ResidencyPlan& plan = planned.plan;
  std::vector<uint32_t> owners(plan.pool_pages, 0);
  const auto take = [&](uint64_t first, uint64_t count) {
    ASSERT_LE(first + count, owners.size());
    for (uint64_t i = first; i < first + count; ++i) ++owners[i];
  };
  for (uint32_t i = 0; i < planned.runs.run_count(); ++i) {
    if (plan.own_slot[i] != kNoSlot) take(plan.own_slot[i], planned.runs.run(i).page_count);
  }
  take(plan.ring_first_slot, plan.ring_pages);
  for (const FrameClass& frames : plan.frame_classes) take(frames.first_slot, frames.page_count());
  EXPECT_LE(*std::max_element(owners.begin(), owners.end()), 1u);
  for (uint32_t i = 0; i < planned.runs.run_count() && !plan.everything_fits(); ++i) {
    EXPECT_GE(plan.frame_classes[plan.frame_class[i]].frame_pages, planned.runs.run(i).page_count);
  }
}

TEST(ResidencyPlan, SmallestPoolIsAFrameOfTheLongestRunForEveryPin) {
  SyntheticModel model = PlanDenseModel();
  const uint32_t longest = model.AddMatrix("long", 10, 90);
  const RunTable runs(model.map());
  AtlasOptions options;
  options.concurrent_pins = 5;
  EXPECT_EQ(MinimumPoolPages(runs, options), 5 * 90u);
  options.pool_bytes = 450 * kPageBytes;
  const Planned planned = Plan(model, {0, 1, longest}, options);
  ASSERT_EQ(planned.plan.frame_classes.size(), 1u);
  EXPECT_EQ(planned.plan.frame_classes[0].frame_count, 5u);
  EXPECT_EQ(planned.plan.own_pages, 0u);
  EXPECT_EQ(planned.plan.ring_pages, 0u);
  ExpectPartition(planned);
}

TEST(ResidencyPlan, OnePageLessThanTheSmallestPoolIsRefusedWithTheNumber) {
  const SyntheticModel model = PlanDenseModel();
  const RunTable runs(model.map());
  const Schedule schedule = std::move(*Schedule::Create(model.map(), runs, PlanRange(0, 40)));
  AtlasOptions options;
  const uint64_t minimum_bytes = MinimumPoolPages(runs, options) * kPageBytes;
  options.pool_bytes = minimum_bytes - 1;
  const auto refused = PlanResidency(model.map(), runs, schedule, options);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kBudgetTooSmall);
  EXPECT_NE(refused.error().expected().find(std::to_string(minimum_bytes)), std::string::npos);
  options.pool_bytes = minimum_bytes;
  EXPECT_TRUE(PlanResidency(model.map(), runs, schedule, options));
}

TEST(ResidencyPlan, ModelThatFitsHasOnlyOwnSlotsAndTakesNoMoreThanItNeeds) {
  SyntheticModel model = PlanDenseModel();
  model.AddTable("table", 100);
  const Planned planned = Plan(model, PlanRange(0, 40), PlanPoolOf(1 << 20));
  EXPECT_TRUE(planned.plan.everything_fits());
  EXPECT_EQ(planned.plan.pool_pages, model.tensor_pages());
  EXPECT_EQ(planned.plan.streamed_pages, 0u);
  EXPECT_EQ(std::count(planned.plan.own_slot.begin(), planned.plan.own_slot.end(), kNoSlot), 0);
  ExpectPartition(planned);
}

TEST(ResidencyPlan, PoolIsDividedWithoutOverlapAtEverySize) {
  SyntheticModel model = PlanDenseModel();
  model.AddTable("table", 3000, Zone::kCold);
  model.AddMatrix("experts_up", 30, 16, 16);
  model.AddMatrix("experts_down", 10, 56, 16);
  const RunTable runs(model.map());
  const uint64_t minimum = MinimumPoolPages(runs, {});
  for (const bool with_experts : {false, true}) {
    for (uint64_t pages = minimum; pages < model.tensor_pages() + 500; pages += 379) {
      for (const uint32_t distance : {0u, 8u}) {
        AtlasOptions options = PlanPoolOf(pages);
        options.prefetch_distance = distance;
        const std::vector<uint32_t> scheduled = with_experts ? PlanRange(0, 40) : PlanRange(0, 43);
        const Planned planned = Plan(model, scheduled, options);
        ExpectPartition(planned);
        // What is streamed is read ahead, but for pools that hold little more than the frames.
        const bool streams = planned.plan.streamed_pages > 0 && distance > 0;
        if (pages > 2 * minimum + 100) {
          EXPECT_EQ(planned.plan.ring_pages > 0, streams) << pages;
        }
      }
    }
  }
}

TEST(ResidencyPlan, StreamedRunsAreSpreadEvenlyOverTheSchedule) {
  const SyntheticModel model = PlanDenseModel();
  const Planned planned = Plan(model, PlanRange(0, 40), PlanPoolOf(16000));
  const ResidencyPlan& plan = planned.plan;
  const double streamed_share = static_cast<double>(plan.streamed_pages) / 32000;
  EXPECT_NEAR(streamed_share, 0.5, 0.05);
  // Up to any point of the pass, the streamed pages are the same share but for two chunks.
  double seen = 0;
  double streamed = 0;
  for (const uint32_t run : planned.schedule.runs()) {
    seen += planned.runs.run(run).page_count;
    if (plan.own_slot[run] == kNoSlot) streamed += planned.runs.run(run).page_count;
    ASSERT_NEAR(streamed, seen * streamed_share, 2.0 * kSpreadChunkPages);
  }
}

TEST(ResidencyPlan, StreamedRunsComeInChunksThatOneReadCanTake) {
  const SyntheticModel model = PlanDenseModel();
  const Planned planned = Plan(model, PlanRange(0, 40), PlanPoolOf(16000));
  uint32_t pieces = 0;
  bool streaming = false;
  for (const uint32_t run : planned.schedule.runs()) {
    const bool streamed = planned.plan.own_slot[run] == kNoSlot;
    if (streamed && !streaming) ++pieces;
    streaming = streamed;
  }
  EXPECT_GE(planned.plan.streamed_pages / pieces, kSpreadChunkPages * 3 / 4);
}

TEST(ResidencyPlan, HighZoneIsPinnedFirstAndColdLast) {
  SyntheticModel model;
  std::vector<uint32_t> high, normal, cold;
  for (int i = 0; i < 10; ++i) {
    high.push_back(model.AddMatrix("h", 100, 4, 1, Zone::kHigh));
    normal.push_back(model.AddMatrix("n", 100, 4, 1, Zone::kNormal));
    cold.push_back(model.AddMatrix("c", 100, 4, 1, Zone::kCold));
  }
  const auto resident_runs = [&](uint64_t pool_pages, const std::vector<uint32_t>& tensors) {
    const Planned planned = Plan(model, PlanRange(0, 30), PlanPoolOf(pool_pages));
    const auto runs = RunsOfTensors(planned.runs, tensors);
    const auto resident = std::count_if(runs.begin(), runs.end(), [&](uint32_t run) {
      return planned.plan.own_slot[run] != kNoSlot;
    });
    return static_cast<double>(resident) / static_cast<double>(runs.size());
  };
  EXPECT_EQ(resident_runs(7000, high), 1.0);
  EXPECT_GT(resident_runs(7000, normal), 0.3);
  EXPECT_LT(resident_runs(7000, normal), 0.9);
  EXPECT_EQ(resident_runs(7000, cold), 0.0);
  EXPECT_EQ(resident_runs(10000, normal), 1.0);
  EXPECT_GT(resident_runs(10500, cold), 0.2);
}

TEST(ResidencyPlan, ShortScheduledRunsArePinnedBeforeLongOnes) {
  SyntheticModel model = PlanDenseModel();
  const uint32_t bias = model.AddVector("bias", 1, Zone::kNormal);
  std::vector<uint32_t> scheduled = PlanRange(0, 40);
  scheduled.push_back(bias);
  const Planned planned = Plan(model, scheduled, PlanPoolOf(3000));
  EXPECT_NE(planned.plan.own_slot[planned.runs.RunsOf(bias).first_run], kNoSlot);
}

TEST(ResidencyPlan, DenseModelGivesTheRingAndTheTableASmallPart) {
  SyntheticModel model = PlanDenseModel();
  const uint32_t table = model.AddTable("table", 20000, Zone::kCold);
  const Planned planned = Plan(model, PlanRange(0, 40), PlanPoolOf(16000));
  const ResidencyPlan& plan = planned.plan;
  EXPECT_GE(plan.ring_pages, 2u * 4 * 64);
  EXPECT_LE(plan.ring_pages, 4u * kMaxRingReadPages + 32) << "but for what no run wants";
  EXPECT_GE(plan.own_pages, 14500u);
  const uint32_t table_run = planned.runs.RunsOf(table).first_run;
  const FrameClass& frames = plan.frame_classes[plan.frame_class[table_run]];
  EXPECT_EQ(frames.frame_pages, planned.runs.run(table_run).page_count) << "no frame is wasted";
  EXPECT_LE(frames.page_count(), 16000u / 64);
}

TEST(ResidencyPlan, ExpertsGetAllThatTheDensePartLeaves) {
  SyntheticModel model;
  std::vector<uint32_t> dense, experts;
  for (int layer = 0; layer < 8; ++layer) {
    dense.push_back(model.AddMatrix("attention", 100, 4));
    experts.push_back(model.AddMatrix("up", 64, 8, 16));
    experts.push_back(model.AddMatrix("down", 5, 40, 16));
  }
  const Planned planned = Plan(model, dense, PlanPoolOf(40000));
  const ResidencyPlan& plan = planned.plan;
  EXPECT_EQ(plan.streamed_pages, 0u);
  EXPECT_EQ(plan.ring_pages, 0u);
  uint64_t cached = 0;
  for (const FrameClass& frames : plan.frame_classes) cached += frames.page_count();
  EXPECT_GE(cached, 40000u - 3200 - 41);
  // Both parts of an expert have room for nearly the same share of the experts.
  const auto share = [&](uint32_t tensor) {
    const RunSpan span = planned.runs.RunsOfTensor(tensor);
    const FrameClass& frames = plan.frame_classes[plan.frame_class[span.first_run]];
    return static_cast<double>(frames.frame_count) / (8.0 * span.run_count);
  };
  EXPECT_NEAR(share(experts[0]), share(experts[1]), 0.05);
}

TEST(ResidencyPlan, NoReadAheadMeansNoRing) {
  const SyntheticModel model = PlanDenseModel();
  AtlasOptions options = PlanPoolOf(16000);
  options.prefetch_distance = 0;
  EXPECT_EQ(Plan(model, PlanRange(0, 40), options).plan.ring_pages, 0u);
}

}  // namespace
}  // namespace gguf_shard
