// Every model of the test data computes what the independent engine computed from its exactly
// dequantized weights.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "runtime/engine.h"
#include "tests/golden/golden_checks.h"
#include "tests/golden/golden_file.h"
#include "tests/golden/sharded_model.h"
#include "tests/support/testdata.h"

namespace gguf_shard {
namespace {

// Ten times as strict as we promise.
constexpr double kClearMargin = 0.01;

void ExpectGolden(const std::filesystem::path& gguf, const std::filesystem::path& golden_path,
                  double peer_error, double error_limit) {
  const GoldenFile golden = ReadGoldenFile(golden_path);
  const auto sharded = ShardedModel::FromFile(gguf);
  ASSERT_TRUE(sharded) << sharded.error().ToString();
  const auto engine = (*sharded)->Open(ExactOptions());
  ASSERT_TRUE(engine) << engine.error().ToString();
  EXPECT_EQ((*engine)->model().weights().vocab_size(), golden.vocab_size);

  const auto error = MeanError(**engine, golden.cases);
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
    const auto greedy = Greedy(**engine, expected, expected.greedy.size());
    ASSERT_TRUE(greedy) << greedy.error().ToString();
    const size_t clear = ClearTokens(expected, kClearMargin);
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

INSTANTIATE_TEST_SUITE_P(Models, GoldenModelTest, ::testing::ValuesIn(kGoldenModels),
                         [](const auto& param) { return TestNameOf(param.param); });

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
  for (const GoldenModel& model : kGoldenModels) tested.emplace_back(model.name);
  EXPECT_THAT(tested, ::testing::UnorderedElementsAreArray(names));
}

}  // namespace
}  // namespace gguf_shard
