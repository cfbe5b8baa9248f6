// Every model of the test data computes what the independent engine computed from its exactly
// dequantized weights.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>

#include "runtime/engine.h"
#include "tests/golden/golden_file.h"
#include "tests/golden/sharded_model.h"
#include "tests/support/testdata.h"

namespace gguf_shard {
namespace {

struct GoldenModel {
  const char* name;
  double peer_error;   // mean |next_logprob - golden| of the peer, with its 8-bit activations
  double error_limit;  // ours: what was measured, and a margin
};

void PrintTo(const GoldenModel& model, std::ostream* out) { *out << model.name; }

constexpr GoldenModel kModels[] = {
    {"stories3M-f32", 1e-4, 1e-5},
    {"stories3M-IQ4_NL", 0.042, 4e-4},
    {"stories3M-Q4_0", 0.038, 4e-4},
    {"stories3M-Q4_K_M", 0.056, 4e-4},
    {"stories3M-Q8_0", 0.034, 4e-4},
    {"stories3M-qwen2-Q8_0", 0.035, 4e-4},
    {"stories3M-rot256-BF16", 0.008, 1e-5},
    {"stories3M-rot256-F16", 0.001, 1e-5},
    {"stories3M-rot256-IQ4_XS", 0.049, 4e-4},
    {"stories3M-rot256-Q2_K", 0.080, 4e-4},
    {"stories3M-rot256-Q3_K_M", 0.064, 4e-4},
    {"stories3M-rot256-Q4_0", 0.031, 4e-4},
    {"stories3M-rot256-Q4_1", 0.033, 4e-4},
    {"stories3M-rot256-Q4_K_M", 0.052, 4e-4},
    {"stories3M-rot256-Q5_0", 0.032, 4e-4},
    {"stories3M-rot256-Q5_1", 0.038, 4e-4},
    {"stories3M-rot256-Q5_K_M", 0.053, 4e-4},
    {"stories3M-rot256-Q6_K", 0.051, 4e-4},
    {"stories3M-rot256-Q8_0", 0.033, 4e-4},
    {"stories3M-rot256-moe8x2-copies-Q4_K_M", 0.049, 4e-4},
    {"stories3M-rot256-moe8x2-noise05-Q4_K_M", 0.051, 1e-3},
};

// Sums up |next_logprob - golden| over all positions of all cases.
Result<double> MeanError(Engine& engine, const GoldenFile& golden) {
  double sum = 0;
  size_t count = 0;
  for (const GoldenCase& expected : golden.cases) {
    engine.Reset();
    GS_TRY(engine.EvaluateAll(
        expected.tokens, [&](uint32_t position, std::span<const float> logits) -> Result<void> {
          const GoldenPosition& at = expected.positions[position];
          if (!at.next_logprob) return {};
          const auto next = static_cast<size_t>(expected.tokens[position + 1]);
          sum += std::abs(logits[next] - LogSumExp(logits) - *at.next_logprob);
          ++count;
          return {};
        }));
  }
  return sum / static_cast<double>(count);
}

TokenId BestToken(std::span<const float> logits) {
  return static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

// The greedy continuation, as long as the golden one.
Result<std::vector<TokenId>> Greedy(Engine& engine, const GoldenCase& expected) {
  engine.Reset();
  std::vector<TokenId> greedy;
  GS_ASSIGN(std::span<float> logits, engine.Evaluate(expected.tokens));
  while (true) {
    greedy.push_back(BestToken(logits));
    if (greedy.size() == expected.greedy.size()) return greedy;
    GS_ASSIGN(logits, engine.Evaluate({&greedy.back(), 1}));
  }
}

// How many tokens are beyond doubt: those before the first margin below 0.01, ten times as strict
// as we promise.
size_t ClearTokens(const GoldenCase& expected) {
  constexpr double kClearMargin = 0.01;
  const auto& margins = expected.greedy_margin;
  const auto doubtful = std::find_if(margins.begin(), margins.end(),
                                     [](double margin) { return margin < kClearMargin; });
  return static_cast<size_t>(doubtful - margins.begin());
}

void ExpectGolden(const std::filesystem::path& gguf, const std::filesystem::path& golden_path,
                  double peer_error, double error_limit) {
  const GoldenFile golden = ReadGoldenFile(golden_path);
  const auto sharded = ShardedModel::FromFile(gguf);
  ASSERT_TRUE(sharded) << sharded.error().ToString();
  const auto engine = (*sharded)->Open(ExactOptions());
  ASSERT_TRUE(engine) << engine.error().ToString();
  EXPECT_EQ((*engine)->model().weights().vocab_size(), golden.vocab_size);

  const auto error = MeanError(**engine, golden);
  ASSERT_TRUE(error) << error.error().ToString();
  ::testing::Test::RecordProperty("mean_error", std::to_string(*error));
  EXPECT_LE(*error, peer_error);
  EXPECT_LE(*error, error_limit);

  const Tokenizer& tokenizer = (*engine)->model().tokenizer();
  for (const GoldenCase& expected : golden.cases) {
    SCOPED_TRACE(expected.prompt);
    const auto tokens = tokenizer.Encode(expected.prompt, EncodeOptions());
    ASSERT_TRUE(tokens) << tokens.error().ToString();
    EXPECT_EQ(*tokens, expected.tokens);
    const auto greedy = Greedy(**engine, expected);
    ASSERT_TRUE(greedy) << greedy.error().ToString();
    const size_t clear = ClearTokens(expected);
    for (size_t index = 0; index < clear; ++index) {
      ASSERT_EQ((*greedy)[index], expected.greedy[index]) << "greedy token " << index;
    }
    if (clear == expected.greedy_margin.size()) {
      EXPECT_EQ(tokenizer.Decode(*greedy, false), expected.text);
    }
  }
}

class GoldenModelTest : public ::testing::TestWithParam<GoldenModel> {};

TEST_P(GoldenModelTest, ComputesTheGoldenProbabilities) {
  GS_REQUIRE_TESTDATA();
  const GoldenModel& model = GetParam();
  const std::string name = model.name;
  ExpectGolden(TestDataDir() / "models" / (name + ".gguf"),
               TestDataDir() / "golden" / (name + ".json"), model.peer_error, model.error_limit);
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenModelTest, ::testing::ValuesIn(kModels),
                         [](const auto& param) {
                           std::string name = param.param.name;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(GoldenTest, InTreeModelComputesTheGoldenProbabilities) {
  ExpectGolden(InTreeDataDir() / "tale-Q4_K_M.gguf", InTreeDataDir() / "golden/tale-Q4_K_M.json",
               0.05, 4e-4);
}

TEST(GoldenTest, ASplitModelComputesWhatTheWholeOneDoes) {
  GS_REQUIRE_TESTDATA();
  const auto models = TestDataDir() / "models";
  const std::string name = "stories3M-rot256-Q4_K_M";
  const auto tokens = ReadGoldenFile(TestDataDir() / "golden" / (name + ".json")).cases[1].tokens;
  std::vector<std::vector<float>> logits;
  for (const auto& gguf :
       {models / (name + ".gguf"), models / "split" / (name + "-00001-of-00003.gguf")}) {
    const auto sharded = ShardedModel::FromFile(gguf);
    ASSERT_TRUE(sharded) << sharded.error().ToString();
    const auto engine = (*sharded)->Open(ExactOptions());
    ASSERT_TRUE(engine) << engine.error().ToString();
    const auto all = AllLogits(**engine, tokens);
    ASSERT_TRUE(all) << all.error().ToString();
    logits.push_back(*all);
  }
  EXPECT_TRUE(logits[0] == logits[1]);
}

TEST(GoldenTest, EveryGoldenFileOfTheTestDataIsTested) {
  GS_REQUIRE_TESTDATA();
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(TestDataDir() / "golden")) {
    names.push_back(entry.path().stem().string());
  }
  std::vector<std::string> tested;
  for (const GoldenModel& model : kModels) tested.emplace_back(model.name);
  EXPECT_THAT(tested, ::testing::UnorderedElementsAreArray(names));
}

}  // namespace
}  // namespace gguf_shard
