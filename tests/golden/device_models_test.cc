// What a Vulkan device computes for models of every make: architectures, experts, parts, long
// prompts, and layers split between the processor and the device.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "tests/golden/device_fixture.h"

namespace gguf_shard {
namespace {

// The two engines sum in different orders; random weights amplify the last bits.
constexpr double kLargestDeviceDifference = 5e-5;
constexpr size_t kLongTokens = 170;  // of several hundred: lavapipe is slow
// Activations of 16 bits in the processor's layers.
constexpr double kSplitErrorLimit = 1e-3;

class DeviceSyntheticTest : public DeviceEngineTest,
                            public ::testing::WithParamInterface<SyntheticModel> {};

TEST_P(DeviceSyntheticTest, ComputesWhatAnIndependentEngineComputes) {
  const GoldenFile golden =
      ReadGoldenFile(InTreeDataDir() / "expected" / (GetParam().name + ".json"));
  const GoldenCase& expected = golden.cases.front();
  const auto sharded = ShardedModel::FromSynthetic(GetParam());
  ASSERT_TRUE(sharded) << sharded.error().ToString();
  const auto logits = LogitsOf(**sharded, DeviceOptions(), expected.tokens);
  ASSERT_TRUE(logits) << logits.error().ToString();
  const double largest = LargestDifference(golden, *logits);
  RecordProperty("largest_difference", std::to_string(largest));
  EXPECT_LE(largest, kLargestDeviceDifference);
}

INSTANTIATE_TEST_SUITE_P(Models, DeviceSyntheticTest, ::testing::ValuesIn(SyntheticModels()),
                         [](const auto& param) {
                           std::string name = param.param.name;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

class DeviceTestdataTest : public DeviceEngineTest {
 protected:
  // The model of that name among the test data, or a part of it.
  void Use(const std::string& name, const std::string& file = {}) {
    golden_ = ReadGoldenFile(TestDataDir() / "golden" / (name + ".json"));
    auto sharded =
        ShardedModel::FromFile(TestDataDir() / "models" / (file.empty() ? name + ".gguf" : file));
    ASSERT_TRUE(sharded) << sharded.error().ToString();
    sharded_ = std::move(*sharded);
  }

  std::unique_ptr<ShardedModel> sharded_;
  GoldenFile golden_;
};

TEST_F(DeviceTestdataTest, ASplitModelComputesWhatTheWholeOneDoes) {
  GS_REQUIRE_TESTDATA();
  const std::string name = "stories3M-rot256-Q4_K_M";
  ASSERT_NO_FATAL_FAILURE(Use(name));
  const auto whole = LogitsOf(*sharded_, DeviceOptions(), golden_.cases[0].tokens);
  ASSERT_TRUE(whole) << whole.error().ToString();
  ASSERT_NO_FATAL_FAILURE(Use(name, "split/" + name + "-00001-of-00003.gguf"));
  const auto parts = LogitsOf(*sharded_, DeviceOptions(), golden_.cases[0].tokens);
  ASSERT_TRUE(parts) << parts.error().ToString();
  EXPECT_TRUE(*whole == *parts);
}

// Many tokens at once, and in small batches through a quarter of the memory.
TEST_F(DeviceTestdataTest, ALongPromptHasTheGoldenProbabilitiesInAnyBatches) {
  GS_REQUIRE_TESTDATA();
  ASSERT_NO_FATAL_FAILURE(Use("stories3M-Q4_K_M"));
  GoldenCase longest = golden_.cases.back();
  ASSERT_GT(longest.tokens.size(), kLongTokens);
  longest.tokens.resize(kLongTokens);
  longest.positions.resize(kLongTokens);
  longest.positions.back().next_logprob.reset();
  EngineOptions options = DeviceOptions();
  options.context_length = 256;
  options.batch_tokens = 256;
  const auto engine = sharded_->Open(options);
  ASSERT_TRUE(engine) << engine.error().ToString();
  const auto error = MeanError(**engine, {&longest, 1});
  ASSERT_TRUE(error) << error.error().ToString();
  EXPECT_LE(*error, 2e-5);
  const auto together = AllLogits(**engine, longest.tokens);
  ASSERT_TRUE(together) << together.error().ToString();
  options.batch_tokens = 50;
  options.pool_bytes = (*engine)->model().weight_bytes() / 4;
  const auto pieces = LogitsOf(*sharded_, options, longest.tokens);
  ASSERT_TRUE(pieces) << pieces.error().ToString();
  EXPECT_TRUE(*together == *pieces);
}

// A mixture of experts with any number of its layers on the device.
TEST_F(DeviceTestdataTest, ExpertsAreSplitBetweenProcessorAndDevice) {
  GS_REQUIRE_TESTDATA();
  ASSERT_NO_FATAL_FAILURE(Use("stories3M-rot256-moe8x2-noise05-Q4_K_M"));
  const auto cases = std::span(golden_.cases).first(1);
  const auto whole = LogitsOf(*sharded_, DeviceOptions(), cases[0].tokens);
  ASSERT_TRUE(whole) << whole.error().ToString();
  const auto model = Model::Load(sharded_->map_path());
  ASSERT_TRUE(model) << model.error().ToString();
  const uint32_t layer_count = (*model)->hyperparameters().layer_count;
  for (const uint32_t layers : {1u, layer_count / 2, layer_count}) {
    SCOPED_TRACE(layers);
    EngineOptions options = DeviceOptions();
    options.device.gpu_layers = layers;
    const auto engine = sharded_->Open(options);
    ASSERT_TRUE(engine) << engine.error().ToString();
    const auto error = MeanError(**engine, cases);
    ASSERT_TRUE(error) << error.error().ToString();
    EXPECT_LE(*error, kSplitErrorLimit);
    if (layers < layer_count) continue;
    const auto logits = AllLogits(**engine, cases[0].tokens);
    ASSERT_TRUE(logits) << logits.error().ToString();
    EXPECT_TRUE(*logits == *whole);
  }
}

}  // namespace
}  // namespace gguf_shard
