// The same logits, bit for bit, whatever the pool, the threads, the batches and the read-ahead.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/golden/golden_file.h"
#include "tests/golden/sharded_model.h"
#include "tests/support/testdata.h"

namespace gguf_shard {
namespace {

struct Variation {
  std::string name;
  EngineOptions options;
};

std::vector<Variation> Variations(uint64_t weight_bytes, uint64_t minimum_bytes) {
  std::vector<Variation> variations;
  const auto add = [&](const std::string& name, auto change) {
    EngineOptions options = ExactOptions();
    change(options);
    variations.push_back({name, options});
  };
  add("half the pool", [&](auto& options) { options.pool_bytes = weight_bytes / 2; });
  add("a quarter of the pool", [&](auto& options) { options.pool_bytes = weight_bytes / 4; });
  add("the smallest pool", [&](auto& options) { options.pool_bytes = minimum_bytes; });
  add("the smallest pool, one thread", [&](auto& options) {
    options.pool_bytes = minimum_bytes;
    options.thread_count = 1;
  });
  add("the smallest pool, no read-ahead", [&](auto& options) {
    options.pool_bytes = minimum_bytes;
    options.prefetch_distance = 0;
  });
  add("one thread", [](auto& options) { options.thread_count = 1; });
  add("three threads", [](auto& options) { options.thread_count = 3; });
  add("batches of 1", [](auto& options) { options.batch_tokens = 1; });
  add("batches of 7", [](auto& options) { options.batch_tokens = 7; });
  add("a quarter of the pool, three threads, batches of 5", [&](auto& options) {
    options.pool_bytes = weight_bytes / 4;
    options.thread_count = 3;
    options.batch_tokens = 5;
  });
  return variations;
}

// The smallest pool that three workers can do with, read from the error that names it.
uint64_t MinimumPoolBytes(const ShardedModel& sharded) {
  const auto model = Model::Load(sharded.map_path());
  if (!model) return 0;
  AtlasOptions options;
  options.concurrent_pins = 3;
  return Atlas::MinimumPoolBytes((*model)->map(), ScheduleOf((*model)->weights()), options);
}

void ExpectInvariance(const ShardedModel& sharded, std::span<const TokenId> tokens) {
  const auto reference_engine = sharded.Open(ExactOptions());
  ASSERT_TRUE(reference_engine) << reference_engine.error().ToString();
  const auto reference = AllLogits(**reference_engine, tokens);
  ASSERT_TRUE(reference) << reference.error().ToString();
  const uint64_t weight_bytes = (*reference_engine)->model().weight_bytes();
  const uint64_t minimum_bytes = MinimumPoolBytes(sharded);
  ASSERT_GT(minimum_bytes, 0u);
  for (Variation& variation : Variations(weight_bytes, minimum_bytes)) {
    SCOPED_TRACE(variation.name);
    if (variation.options.pool_bytes) {
      variation.options.pool_bytes = std::max(*variation.options.pool_bytes, minimum_bytes);
    }
    const auto engine = sharded.Open(variation.options);
    ASSERT_TRUE(engine) << engine.error().ToString();
    // Twice: the second pass meets a pool in another state.
    for (int round = 0; round < 2; ++round) {
      const auto logits = AllLogits(**engine, tokens);
      ASSERT_TRUE(logits) << logits.error().ToString();
      EXPECT_TRUE(*logits == *reference) << "round " << round;
    }
    const auto stats = (*engine)->Stats();
    ASSERT_TRUE(stats) << stats.error().ToString();
    EXPECT_LE(stats->atlas.peak_pool_bytes, (*engine)->plan().pool_bytes);
  }
}

std::vector<TokenId> GoldenTokens(const std::filesystem::path& golden, size_t count) {
  std::vector<TokenId> tokens = ReadGoldenFile(golden).cases.back().tokens;
  tokens.resize(std::min(count, tokens.size()));
  return tokens;
}

TEST(InvarianceTest, InTreeModel) {
  const auto sharded = ShardedModel::FromFile(InTreeDataDir() / "tale-Q4_K_M.gguf");
  ASSERT_TRUE(sharded) << sharded.error().ToString();
  ExpectInvariance(**sharded, GoldenTokens(InTreeDataDir() / "golden/tale-Q4_K_M.json", 24));
}

TEST(InvarianceTest, SyntheticExperts) {
  const auto models = SyntheticModels();
  const auto model = std::find_if(models.begin(), models.end(), [](const SyntheticModel& each) {
    return each.name == "qwen3moe";
  });
  ASSERT_NE(model, models.end());
  const auto sharded = ShardedModel::FromSynthetic(*model);
  ASSERT_TRUE(sharded) << sharded.error().ToString();
  ExpectInvariance(**sharded, SyntheticTokens());
}

class InvarianceOfTestDataTest : public ::testing::TestWithParam<const char*> {};

TEST_P(InvarianceOfTestDataTest, LogitsAreTheSame) {
  GS_REQUIRE_TESTDATA();
  const std::string name = GetParam();
  const auto sharded = ShardedModel::FromFile(TestDataDir() / "models" / (name + ".gguf"));
  ASSERT_TRUE(sharded) << sharded.error().ToString();
  ExpectInvariance(**sharded, GoldenTokens(TestDataDir() / "golden" / (name + ".json"), 40));
}

INSTANTIATE_TEST_SUITE_P(Models, InvarianceOfTestDataTest,
                         ::testing::Values("stories3M-f32", "stories3M-Q4_K_M",
                                           "stories3M-qwen2-Q8_0", "stories3M-rot256-Q6_K",
                                           "stories3M-rot256-moe8x2-noise05-Q4_K_M"),
                         [](const auto& param) {
                           std::string name = param.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace gguf_shard
