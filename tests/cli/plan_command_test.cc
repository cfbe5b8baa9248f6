// gguf-shard plan, and what run says about speed: --compare and --trace.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "atlas/trace.h"
#include "core/map.h"
#include "tests/cli/program.h"
#include "tests/support/json_file.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/testdata.h"

namespace gguf_shard {
namespace {

class PlanCommandTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string model = (InTreeDataDir() / "tale-Q4_K_M.gguf").string();
    const ProgramResult sharded = RunProgram({"shard", model, "-o", Core(), "--quiet"});
    ASSERT_EQ(sharded.exit_code, 0) << sharded.err;
  }
  std::string Core() const { return (directory_ / "core").string(); }

  nlohmann::json Plan(std::vector<std::string> more) const {
    std::vector<std::string> arguments = {"plan", Core(), "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const ProgramResult result = RunProgram(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return nlohmann::json::parse(result.out, nullptr, false);
  }

  TemporaryDirectory directory_;
};

void ExpectConsistent(const nlohmann::json& row, const nlohmann::json& plan) {
  const double disk_seconds = row.at("disk_seconds_per_token");
  const double compute_seconds = row.at("compute_seconds_per_token");
  EXPECT_NEAR(
      disk_seconds,
      row.at("bytes_read_per_token").get<double>() / plan.at("disk_bytes_per_second").get<double>(),
      1e-9);
  EXPECT_NEAR(row.at("tokens_per_second").get<double>(),
              1 / std::max(disk_seconds, compute_seconds), 1e-6 / disk_seconds + 1e-3);
  EXPECT_NEAR(
      row.at("resident_share").get<double>(),
      1 - row.at("bytes_read_per_token").get<double>() / plan.at("token_bytes").get<double>(),
      1e-9);
  EXPECT_EQ(row.at("limit") == "disk", disk_seconds > compute_seconds);
}

TEST_F(PlanCommandTest, LastRowOfTheTableHoldsTheWholeModel) {
  const auto plan = Plan({});
  ASSERT_TRUE(plan.is_object());
  EXPECT_GT(plan.at("disk_bytes_per_second"), 0);
  EXPECT_GT(plan.at("memory_bytes_per_second"), 0);
  for (const char* type : {"Q4_K", "Q6_K"}) {
    EXPECT_GT(plan.at("kernel_bytes_per_second").at(type), 0) << type;
  }
  ASSERT_FALSE(plan.at("budgets").empty());
  uint64_t last_bytes = 0;
  for (const auto& row : plan.at("budgets")) {
    EXPECT_GT(row.at("memory_budget_bytes"), last_bytes) << "rows rise";
    last_bytes = row.at("memory_budget_bytes");
    ExpectConsistent(row, plan);
  }
  const auto& whole = plan.at("budgets").back();
  EXPECT_EQ(whole.at("resident_share"), 1);
  EXPECT_EQ(whole.at("bytes_read_per_token"), 0);
  EXPECT_GE(whole.at("pool_bytes"), plan.at("token_bytes"));
  EXPECT_NE(whole.at("limit"), "disk");
}

TEST_F(PlanCommandTest, SmallPoolReadsWhatItCannotHold) {
  const auto plan = Plan({"--memory-budget", "200M", "--pool", "441K"});
  ASSERT_EQ(plan.at("budgets").size(), 1u);
  const auto& row = plan.at("budgets").front();
  EXPECT_EQ(row.at("memory_budget_bytes"), 200 << 20);
  EXPECT_EQ(row.at("pool_bytes"), 440 * 1024) << "whole pages";
  EXPECT_GT(row.at("bytes_read_per_token"), plan.at("token_bytes").get<uint64_t>() / 2);
  EXPECT_LT(row.at("bytes_read_per_token"), plan.at("token_bytes"));
  ExpectConsistent(row, plan);
}

TEST_F(PlanCommandTest, TextHasTheRatesAndATable) {
  const ProgramResult result = RunProgram({"plan", Core()});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  for (const char* word : {"a token uses", "disk ", "memory ", "kernels ", "Q4_K", "budget", "pool",
                           "resident", "read per token", "tokens/s", "limit", "100 %"}) {
    EXPECT_NE(result.out.find(word), std::string::npos) << word << " is not in:\n" << result.out;
  }
}

TEST_F(PlanCommandTest, BudgetThatIsTooSmallIsRefused) {
  EXPECT_EQ(RunProgram({"plan", Core(), "--memory-budget", "2M"}).exit_code, 12);
  EXPECT_EQ(RunProgram({"plan", (directory_ / "none").string()}).exit_code, 3);
}

TEST_F(PlanCommandTest, RunComparesWithWhatWasToBeExpected) {
  const auto file = directory_ / "stats.json";
  const ProgramResult result = RunProgram({"run", Core(), "-p", "Once upon a time", "-n", "10",
                                           "--pool", "441K", "--compare", "--stats", file});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("expected    "), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("achieved "), std::string::npos) << result.err;
  const auto stats = ReadJson(file);
  EXPECT_GT(stats.at("expected_tokens_per_second"), 0);
  const std::string limit = stats.at("expected_limit");
  EXPECT_TRUE(limit == "disk" || limit == "memory" || limit == "compute") << limit;
}

TEST_F(PlanCommandTest, TraceOfARunHasEveryShardInEveryPass) {
  const auto file = directory_ / "run.trace";
  const ProgramResult result = RunProgram({"run", Core(), "-p", "Once upon a time", "-n", "6",
                                           "--temp", "0", "--quiet", "--trace", file});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto trace = ReadTrace(file);
  ASSERT_TRUE(trace) << trace.error().ToString();
  const auto map = ReadJson(directory_ / "core/core.sgmap");
  EXPECT_EQ(CoreIdToHex(trace->core_id), map.at("core").at("id"));
  ASSERT_EQ(trace->passes.size(), 6u) << "the prompt, and five tokens that are used again";
  const auto scheduled =
      static_cast<size_t>(std::count_if(trace->shards.begin(), trace->shards.end(),
                                        [](const TraceShard& shard) { return shard.scheduled; }));
  EXPECT_GT(scheduled, 20u);
  for (size_t pass = 0; pass < trace->passes.size(); ++pass) {
    EXPECT_EQ(trace->passes[pass].token_count, pass > 0 ? 1u : 5u);
    const auto uses = trace->UsesOf(pass);
    EXPECT_EQ(uses.size(), scheduled) << "a dense model uses each of them once";
    for (const uint32_t shard : uses) EXPECT_TRUE(trace->shards[shard].scheduled) << shard;
  }
  const ProgramResult replay = RunProgram({"simulate", file, "--budget", "64M", "--json"});
  ASSERT_EQ(replay.exit_code, 0) << replay.err;
  const auto replayed = nlohmann::json::parse(replay.out);
  for (const auto& point : replayed.at("results")) {
    EXPECT_EQ(point.at("hit_ratio"), 1) << point;
  }
}

}  // namespace
}  // namespace gguf_shard
