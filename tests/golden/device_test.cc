// Models on a Vulkan device (lavapipe, where there is no other): as close to the golden files as
// the peer at least, and the same bits whatever the device's memory, the batches, and the waves
// that a pass is cut into.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "tests/golden/device_fixture.h"

namespace gguf_shard {
namespace {

// lavapipe computes on this processor, slowly, and a hundred times slower is no better a test: the
// short prompts, and as many greedy tokens as show that a text goes on as it should.
constexpr size_t kMostPromptTokens = 24;
constexpr size_t kGreedyTokens = 12;
constexpr double kPromisedMargin = 0.1;

// Errors of f32 activations; ours on the CPU, with 16 bits, are about 1e-4.
constexpr double kDeviceErrorLimit = 2e-5;

class DeviceModelTest : public DeviceEngineTest {
 protected:
  static std::vector<GoldenCase> ShortCases(const GoldenFile& golden) {
    std::vector<GoldenCase> cases;
    for (const GoldenCase& one : golden.cases) {
      if (one.tokens.size() <= kMostPromptTokens) cases.push_back(one);
    }
    return cases;
  }

  static void ExpectGreedy(Engine& engine, const GoldenCase& expected) {
    const size_t clear = std::min(kGreedyTokens, ClearTokens(expected, kPromisedMargin));
    const auto greedy = Greedy(engine, expected, kGreedyTokens);
    ASSERT_TRUE(greedy) << greedy.error().ToString();
    for (size_t index = 0; index < clear; ++index) {
      ASSERT_EQ((*greedy)[index], expected.greedy[index]) << "greedy token " << index;
    }
  }

  // A model at full residency against its golden file, then with a half and a quarter of its pages
  // on the device.
  static void ExpectGolden(const std::filesystem::path& gguf,
                           const std::filesystem::path& golden_path, double peer_error) {
    const auto cases = ShortCases(ReadGoldenFile(golden_path));
    const auto sharded = ShardedModel::FromFile(gguf);
    ASSERT_TRUE(sharded) << sharded.error().ToString();
    auto engine = (*sharded)->Open(DeviceOptions());
    ASSERT_TRUE(engine) << engine.error().ToString();
    const auto error = MeanError(**engine, cases);
    ASSERT_TRUE(error) << error.error().ToString();
    ::testing::Test::RecordProperty("mean_error", std::to_string(*error));
    EXPECT_LE(*error, peer_error);
    EXPECT_LE(*error, kDeviceErrorLimit);
    ExpectGreedy(**engine, cases[1]);
    const auto expected = AllLogits(**engine, cases[0].tokens);
    ASSERT_TRUE(expected) << expected.error().ToString();
    const uint64_t model_bytes = (*engine)->model().weight_bytes();
    engine->reset();
    for (const uint64_t divisor : {2, 4}) {
      SCOPED_TRACE(testing::Message() << "a " << divisor << "th of the pages");
      ExpectSameLogits(**sharded, model_bytes / divisor, cases[0].tokens, *expected);
    }
  }
};

class DeviceGoldenTest : public DeviceModelTest,
                         public ::testing::WithParamInterface<GoldenModel> {};

TEST_P(DeviceGoldenTest, ComputesTheGoldenProbabilitiesWithinAnyMemory) {
  GS_REQUIRE_TESTDATA();
  const std::string name = GetParam().name;
  ExpectGolden(TestDataDir() / "models" / (name + ".gguf"),
               TestDataDir() / "golden" / (name + ".json"), GetParam().peer_error);
}

INSTANTIATE_TEST_SUITE_P(Models, DeviceGoldenTest, ::testing::ValuesIn(kGoldenModels),
                         [](const auto& param) { return TestNameOf(param.param); });

class InTreeDeviceTest : public DeviceModelTest {
 protected:
  void SetUp() override {
    DeviceEngineTest::SetUp();
    if (IsSkipped()) return;
    auto sharded = ShardedModel::FromFile(InTreeDataDir() / "tale-Q4_K_M.gguf");
    ASSERT_TRUE(sharded) << sharded.error().ToString();
    sharded_ = std::move(*sharded);
    golden_ = ReadGoldenFile(InTreeDataDir() / "golden/tale-Q4_K_M.json");
  }

  Result<std::vector<float>> Logits(const EngineOptions& options) {
    GS_ASSIGN(const auto engine, sharded_->Open(options));
    return AllLogits(*engine, golden_.cases[1].tokens);
  }

  std::unique_ptr<ShardedModel> sharded_;
  GoldenFile golden_;
};

TEST_F(InTreeDeviceTest, ComputesTheGoldenProbabilitiesWithinAnyMemory) {
  ExpectGolden(InTreeDataDir() / "tale-Q4_K_M.gguf", InTreeDataDir() / "golden/tale-Q4_K_M.json",
               0.05);
}

TEST_F(InTreeDeviceTest, ResultsDoNotDependOnTheBatch) {
  const auto together = Logits(DeviceOptions());
  ASSERT_TRUE(together) << together.error().ToString();
  EngineOptions options = DeviceOptions();
  options.batch_tokens = 1;
  const auto one_by_one = Logits(options);
  ASSERT_TRUE(one_by_one) << one_by_one.error().ToString();
  EXPECT_TRUE(*together == *one_by_one);
}

TEST_F(InTreeDeviceTest, LayersAreSplitBetweenProcessorAndDevice) {
  const uint32_t last_case = 1;
  const auto cases = std::span(golden_.cases).subspan(0, last_case + 1);
  for (const uint32_t layers : {1u, 2u}) {
    SCOPED_TRACE(layers);
    EngineOptions options = DeviceOptions();
    options.device.gpu_layers = layers;
    const auto engine = sharded_->Open(options);
    ASSERT_TRUE(engine) << engine.error().ToString();
    const auto error = MeanError(**engine, cases);
    ASSERT_TRUE(error) << error.error().ToString();
    EXPECT_LE(*error, 4e-4);
    const auto stats = (*engine)->Stats();
    ASSERT_TRUE(stats) << stats.error().ToString();
    ASSERT_TRUE(stats->device);
    EXPECT_EQ(stats->device->layer_count, layers);
    EXPECT_GT(stats->device->waves, 0u);
  }
}

TEST_F(InTreeDeviceTest, NoLayersOnTheDeviceIsTheProcessorAlone) {
  EngineOptions options = DeviceOptions();
  options.device.gpu_layers = 0;
  const auto engine = sharded_->Open(options);
  ASSERT_TRUE(engine) << engine.error().ToString();
  const auto stats = (*engine)->Stats();
  ASSERT_TRUE(stats) << stats.error().ToString();
  EXPECT_FALSE(stats->device);
}

TEST_F(InTreeDeviceTest, SmallerKeysAndValuesCostLittle) {
  const auto exact = Logits(DeviceOptions());
  ASSERT_TRUE(exact) << exact.error().ToString();
  for (const auto& [type, limit] : {std::pair{KvType::kF16, 0.02}, {KvType::kQ8_0, 0.2}}) {
    SCOPED_TRACE(KvTypeName(type));
    EngineOptions options = DeviceOptions();
    options.kv_type = type;
    const auto engine = sharded_->Open(options);
    if (!engine) {  // heads that are no whole blocks
      EXPECT_EQ(engine.error().code(), ErrorCode::kInvalidArgument) << engine.error().ToString();
      continue;
    }
    const auto logits = AllLogits(**engine, golden_.cases[1].tokens);
    ASSERT_TRUE(logits) << logits.error().ToString();
    EXPECT_THAT(*logits,
                ::testing::Pointwise(::testing::FloatNear(static_cast<float>(limit)), *exact));
  }
}

TEST_F(InTreeDeviceTest, ABudgetIsKeptAndTheSmallestIsNamed) {
  EngineOptions options = DeviceOptions();
  options.device.vram_budget_bytes = 4096;
  const auto refused = sharded_->Open(options);
  ASSERT_FALSE(refused);
  ASSERT_EQ(refused.error().code(), ErrorCode::kBudgetTooSmall) << refused.error().ToString();
  const std::string text = refused.error().sentence();
  const size_t place = text.find("--vram-budget ");
  ASSERT_NE(place, std::string::npos) << text;
  options.device.vram_budget_bytes = std::stoull(text.substr(place + 14)) * 1024;
  const auto engine = sharded_->Open(options);
  ASSERT_TRUE(engine) << engine.error().ToString();
  const auto logits = AllLogits(**engine, golden_.cases[1].tokens);
  ASSERT_TRUE(logits) << logits.error().ToString();
  const auto stats = (*engine)->Stats();
  ASSERT_TRUE(stats) << stats.error().ToString();
  EXPECT_LE(stats->device->peak_bytes, *options.device.vram_budget_bytes);
  const auto roomy = Logits(DeviceOptions());
  ASSERT_TRUE(roomy) << roomy.error().ToString();
  EXPECT_TRUE(*roomy == *logits);
}

// Whole passes on the device: no more than a submission for each layer, and nothing comes back but
// logits.
TEST_F(InTreeDeviceTest, APassIsFewSubmissionsAndReadsBackItsLogitsAlone) {
  const auto engine = sharded_->Open(DeviceOptions());
  ASSERT_TRUE(engine) << engine.error().ToString();
  ASSERT_TRUE((*engine)->Evaluate(golden_.cases[1].tokens));
  const auto before = (*engine)->Stats();
  ASSERT_TRUE(before) << before.error().ToString();
  constexpr uint64_t kPasses = 5;
  for (uint64_t pass = 0; pass < kPasses; ++pass) {
    ASSERT_TRUE((*engine)->Evaluate(std::span(golden_.cases[1].tokens).first(1)));
  }
  const auto after = (*engine)->Stats();
  ASSERT_TRUE(after) << after.error().ToString();
  const uint64_t layers = after->device->layer_count;
  EXPECT_LE(after->device->waves - before->device->waves, kPasses * layers);
  EXPECT_LE(after->device->host_waits - before->device->host_waits, kPasses);
  EXPECT_EQ(after->device->read_back_bytes - before->device->read_back_bytes,
            kPasses * golden_.vocab_size * sizeof(float));
  // Everything is resident: nothing moves to the device any more, and no table changes.
  EXPECT_EQ(after->device->atlas.pages.bytes_read, before->device->atlas.pages.bytes_read);
  EXPECT_EQ(after->device->atlas.swaps, before->device->atlas.swaps);
}

TEST_F(InTreeDeviceTest, OfExpertsTheChoicesComeBackToo) {
  SyntheticModel experts;
  for (const SyntheticModel& model : SyntheticModels()) {
    if (model.name == "qwen3moe") experts = model;
  }
  const auto sharded = ShardedModel::FromSynthetic(experts);
  ASSERT_TRUE(sharded) << sharded.error().ToString();
  const auto engine = (*sharded)->Open(DeviceOptions());
  ASSERT_TRUE(engine) << engine.error().ToString();
  const TokenId token = 1;
  ASSERT_TRUE((*engine)->Evaluate({&token, 1}));
  const auto stats = (*engine)->Stats();
  ASSERT_TRUE(stats) << stats.error().ToString();
  const uint64_t choices = uint64_t{experts.layers} * experts.experts_used * sizeof(uint32_t);
  const uint64_t logits = (*engine)->model().weights().vocab_size() * sizeof(float);
  EXPECT_EQ(stats->device->read_back_bytes, choices + logits);
  EXPECT_LE(stats->device->host_waits, experts.layers + 1);
}

TEST_F(InTreeDeviceTest, ADamagedPageIsNamedAndNeverComputedWith) {
  const auto core = CoreFile::Open(sharded_->map_path());
  ASSERT_TRUE(core) << core.error().ToString();
  const MapTensor* tensor = core->map().FindTensor("blk.2.ffn_up.weight");
  ASSERT_NE(tensor, nullptr);
  std::fstream file(sharded_->core_path(), std::ios::in | std::ios::out | std::ios::binary);
  const auto offset = static_cast<std::streamoff>(core->page_offset(tensor->first_page) + 100);
  file.seekg(offset);
  const auto byte = static_cast<char>(file.get() ^ 1);
  file.seekp(offset);
  file.put(byte);
  file.close();
  for (const uint64_t pool_bytes : {uint64_t{1} << 20, uint64_t{8} << 20}) {
    EngineOptions options = DeviceOptions();
    options.pool_bytes = pool_bytes;
    const auto logits = Logits(options);
    ASSERT_FALSE(logits);
    EXPECT_EQ(logits.error().code(), ErrorCode::kChecksumMismatch) << logits.error().ToString();
    EXPECT_EQ(logits.error().tensor(), "blk.2.ffn_up.weight");
    EXPECT_TRUE(logits.error().page_index().has_value());
  }
}

// Integer dot products: within what 16-bit activations cost, and as independent of budget and
// batch.
TEST_F(InTreeDeviceTest, IntegersComputeTheGoldenProbabilitiesWithinAnyMemory) {
  EngineOptions options = DeviceOptions();
  options.device.math = DeviceMath::kInteger;
  const auto engine = sharded_->Open(options);
  if (!engine && engine.error().code() == ErrorCode::kUnsupported) GTEST_SKIP();
  ASSERT_TRUE(engine) << engine.error().ToString();
  const auto error = MeanError(**engine, golden_.cases);
  ASSERT_TRUE(error) << error.error().ToString();
  RecordProperty("mean_error", std::to_string(*error));
  EXPECT_LE(*error, 4e-4);
  EXPECT_GT(*error, 1e-6) << "that is f32";
  ExpectGreedy(**engine, golden_.cases[1]);
  const auto together = AllLogits(**engine, golden_.cases[1].tokens);
  ASSERT_TRUE(together) << together.error().ToString();
  options.pool_bytes = (*engine)->model().weight_bytes() / 4;
  options.batch_tokens = 2;
  const auto pieces = Logits(options);
  ASSERT_TRUE(pieces) << pieces.error().ToString();
  EXPECT_TRUE(*together == *pieces);
}

TEST_F(InTreeDeviceTest, ATraceKeepsTheModelOnTheProcessor) {
  EngineOptions options = DeviceOptions();
  options.trace_path = "unused.trace";
  const auto refused = sharded_->Open(options);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kInvalidArgument);
}

TEST_F(InTreeDeviceTest, ADeviceThatIsNotThereIsAnError) {
  EngineOptions options = DeviceOptions();
  options.device.index = 999;
  const auto engine = sharded_->Open(options);
  ASSERT_FALSE(engine);
  EXPECT_EQ(engine.error().code(), ErrorCode::kDevice) << engine.error().ToString();
}

}  // namespace
}  // namespace gguf_shard
