// Architectures without a trained model in the test data: synthetic models compute what the
// independent engine computed, to the precision of f32.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "tests/golden/golden_checks.h"
#include "tests/golden/sharded_model.h"
#include "tests/support/testdata.h"

namespace gguf_shard {

namespace {

// The two engines sum in different orders; random weights amplify the last bits.
constexpr double kLargestDifference = 5e-5;

class SyntheticModelTest : public ::testing::TestWithParam<SyntheticModel> {};

TEST_P(SyntheticModelTest, ComputesWhatAnIndependentEngineComputes) {
  const auto path = InTreeDataDir() / "expected" / (GetParam().name + ".json");
  const GoldenFile golden = ReadGoldenFile(path);
  const GoldenCase& expected = golden.cases.front();
  ASSERT_EQ(expected.tokens, SyntheticTokens());
  const auto sharded = ShardedModel::FromSynthetic(GetParam());
  ASSERT_TRUE(sharded) << sharded.error().ToString();
  const auto engine = (*sharded)->Open(ExactOptions());
  ASSERT_TRUE(engine) << engine.error().ToString();
  const auto logits = AllLogits(**engine, expected.tokens);
  ASSERT_TRUE(logits) << logits.error().ToString();
  ASSERT_EQ(logits->size(), expected.tokens.size() * golden.vocab_size);
  const double largest = LargestDifference(golden, *logits);
  RecordProperty("largest_difference", std::to_string(largest));
  EXPECT_LE(largest, kLargestDifference);
}

INSTANTIATE_TEST_SUITE_P(Models, SyntheticModelTest, ::testing::ValuesIn(SyntheticModels()),
                         [](const auto& param) {
                           std::string name = param.param.name;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

SyntheticModel Named(const std::string& name) {
  for (const SyntheticModel& model : SyntheticModels()) {
    if (model.name == name) return model;
  }
  ADD_FAILURE() << "no synthetic model " << name;
  return {};
}

Result<std::vector<float>> LogitsOf(const SyntheticModel& model) {
  GS_ASSIGN(const auto sharded, ShardedModel::FromSynthetic(model));
  GS_ASSIGN(const auto engine, sharded->Open(ExactOptions()));
  return AllLogits(*engine, SyntheticTokens());
}

TEST(SyntheticTest, OneTensorPerExpertGivesTheLogitsOfTheMergedTensor) {
  SyntheticModel model = Named("llama-experts");
  const auto merged = LogitsOf(model);
  ASSERT_TRUE(merged) << merged.error().ToString();
  model.one_tensor_per_expert = true;
  const auto separate = LogitsOf(model);
  ASSERT_TRUE(separate) << separate.error().ToString();
  EXPECT_EQ(*merged, *separate);
}

TEST(SyntheticTest, RopeScalingChangesWhatLaterPositionsCompute) {
  SyntheticModel model = Named("llama-rope-yarn");
  const auto scaled = LogitsOf(model);
  ASSERT_TRUE(scaled) << scaled.error().ToString();
  model.rope_scaling = "none";
  const auto plain = LogitsOf(model);
  ASSERT_TRUE(plain) << plain.error().ToString();
  EXPECT_NE(scaled->back(), plain->back());
}

// The error that opening a changed model ends in.
Error OpenError(const SyntheticModel& model) {
  const auto sharded = ShardedModel::FromSynthetic(model);
  if (!sharded) return sharded.error();
  const auto engine = (*sharded)->Open(ExactOptions());
  if (engine) return Error(ErrorCode::kNotFound, "the model opened");
  return engine.error();
}

TEST(SyntheticTest, AnUnknownArchitectureIsNamed) {
  SyntheticModel model = Named("llama-plain");
  model.architecture = "mamba";
  const Error error = OpenError(model);
  EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
  EXPECT_NE(error.ToString().find("mamba"), std::string::npos) << error.ToString();
}

TEST(SyntheticTest, AnUnknownRopeScalingIsNamed) {
  SyntheticModel model = Named("llama-plain");
  model.rope_scaling = "longrope";
  const Error error = OpenError(model);
  EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
  EXPECT_NE(error.ToString().find("longrope"), std::string::npos) << error.ToString();
}

TEST(SyntheticTest, ATensorThatTheArchitectureDoesNotUseIsNamed) {
  SyntheticModel model = Named("qwen2");
  model.head_norms = true;
  const Error error = OpenError(model);
  EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
  EXPECT_EQ(error.tensor(), "blk.0.attn_q_norm.weight");
}

TEST(SyntheticTest, AMissingTensorIsNamed) {
  SyntheticModel model = Named("qwen3");
  model.head_norms = false;
  const Error error = OpenError(model);
  EXPECT_EQ(error.code(), ErrorCode::kNotFound);
  EXPECT_EQ(error.tensor(), "blk.0.attn_q_norm.weight");
}

TEST(SyntheticTest, ExpertsWhereTheArchitectureHasNoneAreRefused) {
  SyntheticModel model = Named("qwen3moe");
  model.architecture = "qwen3";
  EXPECT_EQ(OpenError(model).code(), ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace gguf_shard
