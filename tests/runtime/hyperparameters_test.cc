#include "runtime/hyperparameters.h"

#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "core/gguf_writer.h"
#include "runtime/architecture.h"

namespace gguf_shard {
namespace {

void AddBasics(GgufWriter& writer) {
  writer.AddString("general.architecture", "llama");
  writer.AddUint32("llama.block_count", 2);
  writer.AddUint32("llama.context_length", 128);
  writer.AddUint32("llama.embedding_length", 64);
  writer.AddUint32("llama.feed_forward_length", 96);
  writer.AddUint32("llama.attention.head_count", 4);
  writer.AddFloat32("llama.attention.layer_norm_rms_epsilon", 7.5e-6f);
}

Result<Hyperparameters> Read(const std::function<void(GgufWriter&)>& add) {
  GgufWriter writer;
  add(writer);
  const std::vector<std::byte> bytes = writer.Serialize();
  GS_ASSIGN(const GgufHeader header, ParseGgufHeader(bytes, bytes.size()));
  return ReadHyperparameters(header);
}

// The basics and one more key that must end in an error of this code naming the key.
void ExpectError(ErrorCode code, const std::string& key,
                 const std::function<void(GgufWriter&)>& add) {
  const auto numbers = Read([&](GgufWriter& writer) {
    AddBasics(writer);
    add(writer);
  });
  ASSERT_FALSE(numbers) << key;
  EXPECT_EQ(numbers.error().code(), code) << numbers.error().ToString();
  EXPECT_NE(numbers.error().ToString().find(key), std::string::npos) << numbers.error().ToString();
}

TEST(HyperparametersTest, DefaultsFollowFromTheBasics) {
  const auto numbers = Read(AddBasics);
  ASSERT_TRUE(numbers) << numbers.error().ToString();
  EXPECT_EQ(numbers->architecture, "llama");
  EXPECT_EQ(numbers->layer_count, 2u);
  EXPECT_EQ(numbers->head_count_kv, 4u);
  EXPECT_EQ(numbers->key_length, 16u);
  EXPECT_EQ(numbers->value_length, 16u);
  EXPECT_EQ(numbers->rope.dimensions, 16u);
  EXPECT_EQ(numbers->rope.frequency_base, 10000);
  EXPECT_EQ(numbers->rope.scaling, RopeScaling::kNone);
  EXPECT_EQ(numbers->expert_count, 0u);
  EXPECT_EQ(numbers->rms_epsilon, 7.5e-6f);
}

TEST(HyperparametersTest, ExplicitHeadLengthsAndGroupsAreTaken) {
  const auto numbers = Read([](GgufWriter& writer) {
    AddBasics(writer);
    writer.AddUint32("llama.attention.head_count_kv", 2);
    writer.AddUint32("llama.attention.key_length", 24);
    writer.AddUint32("llama.attention.value_length", 20);
  });
  ASSERT_TRUE(numbers) << numbers.error().ToString();
  EXPECT_EQ(numbers->query_width(), 96u);
  EXPECT_EQ(numbers->key_width(), 48u);
  EXPECT_EQ(numbers->value_width(), 40u);
  EXPECT_EQ(numbers->attention_width(), 80u);
  EXPECT_EQ(numbers->heads_per_group(), 2u);
}

TEST(HyperparametersTest, AnArrayOfEqualNumbersIsOneNumber) {
  const std::vector<int32_t> equal = {2, 2};
  const auto numbers = Read([&](GgufWriter& writer) {
    AddBasics(writer);
    writer.AddInt32s("llama.attention.head_count_kv", equal);
  });
  ASSERT_TRUE(numbers) << numbers.error().ToString();
  EXPECT_EQ(numbers->head_count_kv, 2u);
}

TEST(HyperparametersTest, NumbersThatDifferByLayerAreUnsupported) {
  const std::vector<int32_t> different = {2, 4};
  ExpectError(ErrorCode::kUnsupported, "llama.attention.head_count_kv", [&](GgufWriter& writer) {
    writer.AddInt32s("llama.attention.head_count_kv", different);
  });
}

TEST(HyperparametersTest, TheOldNameOfTheRopeFactorIsLinear) {
  const auto numbers = Read([](GgufWriter& writer) {
    AddBasics(writer);
    writer.AddFloat32("llama.rope.scale_linear", 2);
  });
  ASSERT_TRUE(numbers) << numbers.error().ToString();
  EXPECT_EQ(numbers->rope.scaling, RopeScaling::kLinear);
  EXPECT_EQ(numbers->rope.factor, 2);
}

TEST(HyperparametersTest, ImpossibleNumbersAreNamed) {
  ExpectError(ErrorCode::kMalformed, "llama.attention.head_count_kv",
              [](GgufWriter& writer) { writer.AddUint32("llama.attention.head_count_kv", 0); });
  ExpectError(ErrorCode::kMalformed, "3 key/value heads",
              [](GgufWriter& writer) { writer.AddUint32("llama.attention.head_count_kv", 3); });
  ExpectError(ErrorCode::kMalformed, "llama.attention.key_length", [](GgufWriter& writer) {
    writer.AddUint64("llama.attention.key_length", uint64_t{1} << 40);
  });
  ExpectError(ErrorCode::kMalformed, "llama.rope.dimension_count",
              [](GgufWriter& writer) { writer.AddUint32("llama.rope.dimension_count", 7); });
  ExpectError(ErrorCode::kMalformed, "llama.rope.dimension_count",
              [](GgufWriter& writer) { writer.AddUint32("llama.rope.dimension_count", 18); });
  ExpectError(ErrorCode::kMalformed, "llama.rope.freq_base",
              [](GgufWriter& writer) { writer.AddFloat32("llama.rope.freq_base", -1); });
  ExpectError(ErrorCode::kMalformed, "llama.expert_used_count", [](GgufWriter& writer) {
    writer.AddUint32("llama.expert_count", 4);
    writer.AddUint32("llama.expert_used_count", 5);
  });
  ExpectError(ErrorCode::kMalformed, "llama.attention.value_length",
              [](GgufWriter& writer) { writer.AddString("llama.attention.value_length", "wide"); });
}

TEST(HyperparametersTest, AMissingKeyIsNamed) {
  const auto numbers = Read([](GgufWriter& writer) {
    writer.AddString("general.architecture", "llama");
    writer.AddUint32("llama.block_count", 2);
  });
  ASSERT_FALSE(numbers);
  EXPECT_EQ(numbers.error().code(), ErrorCode::kNotFound);
  EXPECT_NE(numbers.error().ToString().find("llama.context_length"), std::string::npos);
}

TEST(ArchitectureTest, ListsWhatThereIsWhenItFindsNothing) {
  const auto architecture = FindArchitecture("gpt-j");
  ASSERT_FALSE(architecture);
  EXPECT_EQ(architecture.error().code(), ErrorCode::kUnsupported);
  EXPECT_NE(architecture.error().ToString().find("qwen3moe"), std::string::npos);
  EXPECT_NE(architecture.error().ToString().find("gpt-j"), std::string::npos);
}

}  // namespace
}  // namespace gguf_shard
