// `validate` with a Vulkan device (lavapipe, where there is no other): the chaos that the processor
// has to stand meets the device too, on every way into its memory, and so do refusals of its
// driver. The validation layers watch: a message of theirs fails the test.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "forge/shard.h"
#include "tests/gpu/vulkan_fixture.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/testdata.h"
#include "validate/run_trials.h"
#include "validate/validation.h"

namespace gguf_shard {
namespace {

using testing::HasSubstr;

class DeviceChaosTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string why;
    const int32_t index = gpu::FindTestDevice(why);
    if (index < 0) GTEST_SKIP() << why;
    NoProgress progress;
    ShardOptions shard;
    shard.output_directory = dir_ / "tale";
    ASSERT_TRUE(ShardModel(InTreeDataDir() / "tale-Q4_K_M.gguf", shard, progress));
    options_.map_path = dir_ / "tale";
    options_.device.choice = DeviceChoice::kVulkan;
    options_.device.index = index;
    options_.device.pipeline_cache_path = (dir_ / "pipelines").string();
    options_.faults = 300;
  }

  // The checks of this name; all must have held, none be skipped.
  std::map<std::string, Outcome> Check(const std::string& name) {
    options_.only = name;
    NoProgress progress;
    const auto report = RunValidation(options_, progress);
    EXPECT_TRUE(report) << report.error().ToString();
    std::map<std::string, Outcome> outcomes;
    if (!report) return outcomes;
    for (const CheckResult& result : report->results) {
      const Outcome& outcome = outcomes[result.name] = result.outcome;
      EXPECT_EQ(outcome.status, CheckStatus::kPassed) << result.name << ": " << outcome.happened;
      for (const Finding& finding : outcome.findings) ADD_FAILURE() << finding.what;
      EXPECT_EQ(outcome.detected + outcome.harmless, outcome.injected) << result.name;
      EXPECT_EQ(outcome.false_alarms, 0u) << result.name;
    }
    return outcomes;
  }

  TemporaryDirectory dir_;
  ValidationOptions options_;
};

// In one test: finding out what works on the device takes as long as a check.
TEST_F(DeviceChaosTest, EveryPromiseHoldsOnTheDevice) {
  auto checks = Check("device");
  EXPECT_EQ(checks.size(), 9u);
  // Damaged pages, refused reads and bits that flip behind them: on every way into the device.
  EXPECT_GE(checks["device.damaged_pages"].detected, 2u);
  EXPECT_GE(checks["device.read_errors"].detected, 1u);
  EXPECT_GE(checks["device.flipped_slots"].detected, 2u);
  for (const char* name : {"damaged_pages", "read_errors", "flipped_slots"}) {
    const Outcome& outcome = checks[std::string("device.") + name];
    EXPECT_EQ(outcome.clean, outcome.injected) << name;
    EXPECT_THAT(outcome.happened, HasSubstr("brought to the device by ")) << name;
  }
  EXPECT_THAT(checks["device.flipped_slots"].happened, HasSubstr("bits flipped in slots"));
  EXPECT_GE(checks["device.hesitant_disk"].clean, 1u);
  // Each way's smallest pool, and a page less of each, and one tiny budget.
  EXPECT_EQ(checks["device.minimum_budget"].detected, checks["device.minimum_budget"].clean + 1);
  EXPECT_GE(checks["device.thrash"].clean, 1u);
  EXPECT_EQ(checks["device.side_by_side"].clean, 4u);
  // The driver's refusals: none is without consequence.
  for (const char* name : {"device.no_memory", "device.lost"}) {
    EXPECT_GE(checks[name].detected, 3u) << name;
    EXPECT_EQ(checks[name].harmless, 0u) << name;
    EXPECT_GE(checks[name].clean, 3u) << name;
  }
}

TEST_F(DeviceChaosTest, ProcessorAndDeviceAgree) {
  EXPECT_EQ(Check("logits.device")["logits.device"].clean, 8u);
}

TEST_F(DeviceChaosTest, EnginesGiveBackWhatTheyTook) {
  EXPECT_EQ(Check("run.device_soak")["run.device_soak"].clean, 4u);
}

// What the trials call the same is the same: other logits, and errors that name something else, are
// neither detected nor harmless.
TEST_F(DeviceChaosTest, OtherLogitsAndOtherErrorsCountAsMissed) {
  options_.only = "device";
  NoProgress progress;
  ValidationContext context(options_, progress);
  const auto trials = RunTrials::Create(context, RunPlace::kDevice);
  ASSERT_TRUE(trials) << trials.error().ToString();
  const auto good = trials->Run();
  ASSERT_TRUE(good) << good.error().ToString();
  std::vector<float> other = *good;
  other[other.size() / 2] += 1;
  Outcome outcome;
  const uint64_t page = 20;
  trials->CountNamed(page, ErrorCode::kChecksumMismatch, other, "other", outcome);
  const Error elsewhere = Error(ErrorCode::kChecksumMismatch, "another").Page(page + 1);
  trials->CountNamed(page, ErrorCode::kChecksumMismatch, Fail(elsewhere), "elsewhere", outcome);
  const Error of_disk(ErrorCode::kIo, "a read");
  trials->CountNamed(page, ErrorCode::kChecksumMismatch, Fail(of_disk), "of the disk", outcome);
  trials->CountClean(other, "other", outcome);
  EXPECT_EQ(outcome.injected, 3u);
  EXPECT_EQ(outcome.detected + outcome.harmless, 0u);
  EXPECT_EQ(outcome.false_alarms, 1u);
  ASSERT_EQ(outcome.findings.size(), 4u);
  EXPECT_EQ(outcome.findings[0].pages.first_page, page);
  JudgeDetection(outcome);
  EXPECT_EQ(outcome.status, CheckStatus::kBroken);
}

TEST_F(DeviceChaosTest, IsSkippedWhenNoDeviceWasAskedFor) {
  options_.device.choice = DeviceChoice::kCpu;
  options_.only = "device";
  NoProgress progress;
  const auto report = RunValidation(options_, progress);
  ASSERT_TRUE(report) << report.error().ToString();
  EXPECT_EQ(report->verdict, Verdict::kHeld);
  EXPECT_EQ(report->results.size(), 9u);
  for (const CheckResult& result : report->results) {
    EXPECT_EQ(result.outcome.status, CheckStatus::kSkipped) << result.name;
    EXPECT_THAT(result.outcome.happened, HasSubstr("--device names no Vulkan device"));
  }
}

}  // namespace
}  // namespace gguf_shard
