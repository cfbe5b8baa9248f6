// A memory budget is kept, counts everything, and names the smallest one that would do.
#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <string>

#include "runtime/engine.h"
#include "runtime/process_memory.h"
#include "tests/golden/golden_file.h"
#include "tests/golden/sharded_model.h"
#include "tests/support/testdata.h"

namespace gguf_shard {
namespace {

// Sets the process's peak to what is resident now; false where the system does not allow it.
bool ResetPeak() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5" << std::flush;
  return file.good();
}

uint64_t NamedBudget(const Error& error) {
  std::smatch match;
  const std::string text = error.ToString();
  if (!std::regex_search(text, match, std::regex("--memory-budget ([0-9]+)M"))) return 0;
  return std::stoull(match[1]) << 20;
}

class BudgetTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto sharded = ShardedModel::FromFile(InTreeDataDir() / "tale-Q4_K_M.gguf");
    ASSERT_TRUE(sharded) << sharded.error().ToString();
    sharded_ = std::move(*sharded);
    golden_ = ReadGoldenFile(InTreeDataDir() / "golden/tale-Q4_K_M.json").cases.front();
  }

  std::unique_ptr<ShardedModel> sharded_;
  GoldenCase golden_;
};

TEST_F(BudgetTest, TheBudgetNamedAsSmallestIsEnoughAndIsKept) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers take memory of their own";
#endif
  if (!ResetPeak()) GTEST_SKIP() << "this system does not reset the peak of resident memory";
  EngineOptions options;
  options.thread_count = 2;
  options.context_length = 512;
  options.memory_budget_bytes = 1 << 20;
  const auto refused = sharded_->Open(options);
  ASSERT_FALSE(refused);
  ASSERT_EQ(refused.error().code(), ErrorCode::kBudgetTooSmall) << refused.error().ToString();
  const uint64_t smallest = NamedBudget(refused.error());
  ASSERT_GT(smallest, 0u) << refused.error().ToString();

  options.memory_budget_bytes = smallest;
  const auto engine = sharded_->Open(options);
  ASSERT_TRUE(engine) << engine.error().ToString();
  std::vector<TokenId> tokens;
  while (tokens.size() < 512) tokens.push_back(golden_.tokens[tokens.size() % 5]);
  const auto logits = (*engine)->Evaluate(tokens);  // the whole context
  ASSERT_TRUE(logits) << logits.error().ToString();
  const auto memory = ReadProcessMemory();
  ASSERT_TRUE(memory);
  EXPECT_LE(memory->peak_resident_bytes, smallest);
}

TEST_F(BudgetTest, ALargerBudgetGivesALargerPoolUpToTheWholeModel) {
  const auto memory = ReadProcessMemory();
  ASSERT_TRUE(memory);
  EngineOptions options;
  options.thread_count = 1;
  options.context_length = 64;
  options.batch_tokens = 8;
  uint64_t last_pool_bytes = 0;
  for (const uint64_t extra_mebibytes : {16, 17, 64}) {
    options.memory_budget_bytes = memory->peak_resident_bytes + (extra_mebibytes << 20);
    const auto engine = sharded_->Open(options);
    ASSERT_TRUE(engine) << engine.error().ToString();
    const MemoryPlan& plan = (*engine)->plan();
    EXPECT_GE(plan.pool_bytes, last_pool_bytes);
    EXPECT_LE(plan.process_bytes + plan.cache_bytes + plan.workspace_bytes + plan.pool_bytes,
              *options.memory_budget_bytes);
    last_pool_bytes = plan.pool_bytes;
    if (extra_mebibytes == 64) {
      EXPECT_EQ(plan.pool_bytes, (*engine)->model().weight_bytes());
    }
  }
}

TEST_F(BudgetTest, ContextAndBatchShrinkToFitUnlessTheyAreGiven) {
  auto model = Model::Load(sharded_->map_path());
  ASSERT_TRUE(model) << model.error().ToString();
  const ProcessMemory process = {.resident_bytes = 10 << 20, .peak_resident_bytes = 10 << 20};
  EngineOptions options;
  options.thread_count = 2;
  const auto roomy = PlanMemory(**model, options, process, uint64_t{8} << 30, 1 << 20);
  ASSERT_TRUE(roomy) << roomy.error().ToString();
  EXPECT_EQ(roomy->shape.context_length, 512u);  // the model's
  EXPECT_EQ(roomy->shape.batch_tokens, 512u);
  EXPECT_EQ(roomy->pool_bytes, (*model)->weight_bytes());
  options.memory_budget_bytes = 25 << 20;
  const auto tight = PlanMemory(**model, options, process, uint64_t{8} << 30, 1 << 20);
  ASSERT_TRUE(tight) << tight.error().ToString();
  EXPECT_LT(tight->shape.batch_tokens, 512u);
  options.batch_tokens = 512;
  const auto given = PlanMemory(**model, options, process, uint64_t{8} << 30, 1 << 20);
  ASSERT_TRUE(given) << given.error().ToString();
  EXPECT_EQ(given->shape.batch_tokens, 512u);
  EXPECT_LT(given->pool_bytes, tight->pool_bytes);
}

TEST_F(BudgetTest, APoolThatIsTooSmallNamesTheSmallest) {
  EngineOptions options = ExactOptions();
  options.pool_bytes = 4096;
  const auto engine = sharded_->Open(options);
  ASSERT_FALSE(engine);
  EXPECT_EQ(engine.error().code(), ErrorCode::kBudgetTooSmall) << engine.error().ToString();
}

}  // namespace
}  // namespace gguf_shard
