// The codecs of a frame: exact for every type and every bit pattern, small for what they predict,
// and never more than an error on damaged payloads.
#include "delta/frame_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>

#include "core/bytes.h"
#include "delta/float_base.h"
#include "delta/quant_codec.h"
#include "delta/quant_group.h"
#include "tests/delta/synthetic_model.h"

namespace gguf_shard {
namespace {

using Bytes = std::vector<std::byte>;

class EveryType : public testing::TestWithParam<TensorType> {};
INSTANTIATE_TEST_SUITE_P(, EveryType, testing::ValuesIn(NumericTypes()),
                         [](const auto& type) { return std::string(TensorTypeName(type.param)); });

void ExpectRoundTrip(const FrameTypes& types, const Bytes& target, const Bytes& base,
                     DeltaLevel level, size_t* payload_bytes = nullptr) {
  const EncodedFrame frame = EncodeFrame(types, target, base, level);
  Bytes decoded(target.size());
  const auto result = DecodeFrame(frame.method, types, frame.payload, base, decoded);
  ASSERT_TRUE(result) << result.error().ToString();
  EXPECT_EQ(decoded, target);
  if (payload_bytes != nullptr) *payload_bytes = frame.payload.size();
}

TEST_P(EveryType, ComesBackWhateverTheBits) {
  const TensorTypeInfo& info = GetTensorType(GetParam());
  for (const size_t weights : {256u, 1024u, 256u * 33}) {
    const size_t bytes = weights / info.block_weights * info.block_bytes;
    for (const auto level : {DeltaLevel::kFast, DeltaLevel::kDefault, DeltaLevel::kMax}) {
      ExpectRoundTrip({GetParam(), GetParam()}, RandomBytes(bytes, weights),
                      RandomBytes(bytes, weights + 1), level);
    }
  }
}

TEST_P(EveryType, ComesBackThroughItsNumericCodec) {
  const TensorType type = GetParam();
  if (FindQuantFormat(type) == nullptr) GTEST_SKIP() << "float types: see the next test";
  const TensorTypeInfo& info = GetTensorType(type);
  const size_t weights = 256 * 20 + (info.block_weights == 32 ? 96 : 0);
  const Bytes base = RandomBytes(weights / info.block_weights * info.block_bytes, 5);
  const Bytes target = RandomBytes(base.size(), 6);
  const WeightSpan span{type, type, weights};
  const Bytes payload = QuantEncode(span, target, base, 40);
  Bytes decoded(target.size());
  ASSERT_TRUE(QuantDecode(span, payload, base, decoded));
  EXPECT_EQ(decoded, target);
}

// A few quants move by one: far below the four to eight bits that a quant has.
TEST_P(EveryType, IsSmallWhenFewWeightsMove) {
  const TensorType type = GetParam();
  const Bytes base = SyntheticWeights(type, 65536, 7);
  Bytes target = base;
  const size_t block_bytes = GetTensorType(type).block_bytes;
  for (size_t i = 0; i < target.size(); i += block_bytes * 40) target[i] ^= std::byte{1};
  size_t payload_bytes = 0;
  ExpectRoundTrip({type, type}, target, base, DeltaLevel::kDefault, &payload_bytes);
  EXPECT_LT(payload_bytes, base.size() / 12);
}

TEST_P(EveryType, GivesAlmostNothingForEqualBytes) {
  const Bytes base = SyntheticWeights(GetParam(), 65536, 8);
  size_t payload_bytes = 0;
  ExpectRoundTrip({GetParam(), GetParam()}, base, base, DeltaLevel::kDefault, &payload_bytes);
  EXPECT_LT(payload_bytes, 128u);
}

TEST_P(EveryType, PredictsATargetOfAnotherType) {
  const Bytes base = SyntheticWeights(GetParam(), 8192, 9);
  for (const auto target_type : NumericTypes()) {
    const Bytes target = SyntheticWeights(target_type, 8192, 10);
    ExpectRoundTrip({target_type, GetParam()}, target, base, DeltaLevel::kDefault);
    ExpectRoundTrip({target_type, GetParam()}, target, base, DeltaLevel::kMax);
  }
}

// A model that was converted or dequantized: nothing but the conversion's own rounding is left.
TEST_P(EveryType, GivesAlmostNothingForTheFloatsThatItStandsFor) {
  const Bytes base = SyntheticWeights(GetParam(), 65536, 9);
  for (const auto target_type : {TensorType::kF32, TensorType::kF16, TensorType::kBF16}) {
    size_t payload_bytes = 0;
    ExpectRoundTrip({target_type, GetParam()}, FloatsOf(target_type, GetParam(), base), base,
                    DeltaLevel::kDefault, &payload_bytes);
    EXPECT_LT(payload_bytes, 128u) << TensorTypeName(target_type);
  }
}

uint32_t NearestF16(double value) {
  int exponent = 0;
  const double fraction = std::frexp(value, &exponent);
  return NearestFloat(static_cast<int64_t>(std::ldexp(fraction, 60)), exponent - 60, 10, 5);
}

TEST(FloatBase, RoundsToTheNearestFloatAndTiesToEven) {
  EXPECT_EQ(NearestF16(1.0), 0x3c00u);
  EXPECT_EQ(NearestF16(-2.5), 0xc100u);
  EXPECT_EQ(NearestF16(0), 0u);
  EXPECT_EQ(NearestF16(1.0 + 1.0 / 2048), 0x3c00u);  // halfway: the even one is below
  EXPECT_EQ(NearestF16(1.0 + 3.0 / 2048), 0x3c02u);  // and here above
  EXPECT_EQ(NearestF16(2047.9), 0x6800u);            // a carry into the exponent
  EXPECT_EQ(NearestF16(65504), 0x7bffu);             // the largest
  EXPECT_EQ(NearestF16(65520), 0x7c00u);             // infinity
  EXPECT_EQ(NearestF16(1e30), 0x7c00u);
  EXPECT_EQ(NearestF16(std::ldexp(1.0, -24)), 1u);          // the smallest
  EXPECT_EQ(NearestF16(std::ldexp(1.0, -25)), 0u);          // halfway to zero
  EXPECT_EQ(NearestF16(std::ldexp(3.0, -25)), 2u);          // halfway between two subnormals
  EXPECT_EQ(NearestF16(std::ldexp(1023.7, -24)), 0x0400u);  // a carry into the normal numbers
  EXPECT_EQ(NearestF16(std::ldexp(1.0, -60)), 0u);
}

// Every float of the same type is itself, and BF16 the upper half of an F32.
TEST(FloatBase, KeepsEveryFiniteFloatOfTheSameType) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    Bytes value(2);
    StoreLe(value.data(), static_cast<uint16_t>(bits));
    const bool f16_is_number = (bits & 0x7c00) != 0x7c00 && bits != 0x8000;
    const bool bf16_is_number = (bits & 0x7f80) != 0x7f80 && bits != 0x8000;
    if (f16_is_number) {
      ASSERT_EQ(FloatsOf(TensorType::kF16, TensorType::kF16, value), value);
    }
    if (bf16_is_number) {
      ASSERT_EQ(FloatsOf(TensorType::kBF16, TensorType::kBF16, value), value);
      Bytes wide(4);
      StoreLe(wide.data(), bits << 16);
      ASSERT_EQ(FloatsOf(TensorType::kF32, TensorType::kBF16, value), wide);
    }
  }
}

// Whatever happens to a payload: an error or other bytes, never a crash (run under sanitizers).
TEST_P(EveryType, SurvivesDamagedPayloads) {
  const FrameTypes types{GetParam(), GetParam()};
  const Bytes base = SyntheticWeights(GetParam(), 1024, 11);
  const Bytes target = SyntheticWeights(GetParam(), 1024, 12);
  const EncodedFrame frame = EncodeFrame(types, target, base, DeltaLevel::kDefault);
  Bytes decoded(target.size());
  for (size_t length = 0; length < frame.payload.size(); length += 7) {
    EXPECT_FALSE(
        DecodeFrame(frame.method, types, std::span(frame.payload).first(length), base, decoded));
  }
  std::mt19937_64 random(13);
  for (int i = 0; i < 300; ++i) {
    Bytes damaged = frame.payload;
    damaged[random() % damaged.size()] ^= static_cast<std::byte>(1u << random() % 8);
    static_cast<void>(DecodeFrame(frame.method, types, damaged, base, decoded));
  }
}

TEST(FrameCodec, CodesTypesWithoutAPredictorByPlanes) {
  const FrameTypes types{TensorType::kIQ2_XXS, TensorType::kIQ2_XXS};
  const Bytes base = RandomBytes(66 * 500, 1);
  Bytes target = base;
  target[1000] ^= std::byte{3};
  const EncodedFrame frame = EncodeFrame(types, target, base, DeltaLevel::kDefault);
  EXPECT_EQ(frame.method, FrameMethod::kXorPlanes);
  EXPECT_LT(frame.payload.size(), 100u);
  ExpectRoundTrip(types, target, base, DeltaLevel::kMax);
}

TEST(FrameCodec, CodesAddedTensorsWithoutABase) {
  const FrameTypes types{TensorType::kF32, std::nullopt};
  Bytes target(4 * 1000);
  for (size_t i = 0; i < 1000; ++i) StoreLe(target.data() + i * 4, 1.0F);
  size_t payload_bytes = 0;
  ExpectRoundTrip(types, target, {}, DeltaLevel::kDefault, &payload_bytes);
  EXPECT_LT(payload_bytes, 100u);
}

TEST(FrameCodec, RefusesAMethodThatDoesNotFitTheTypes) {
  const Bytes base(66, std::byte{0});
  Bytes target(66);
  const FrameTypes types{TensorType::kIQ2_XXS, TensorType::kIQ2_XXS};
  for (const auto method : {FrameMethod::kQuant, FrameMethod::kFloat, FrameMethod::kBytes}) {
    const auto result = DecodeFrame(method, types, base, base, target);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code(), ErrorCode::kMalformed);
  }
}

TEST(FrameCodec, NamesItsLevels) {
  EXPECT_EQ(*DeltaLevelFromName("max"), DeltaLevel::kMax);
  EXPECT_EQ(DeltaLevelFromName("best").error().code(), ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace gguf_shard
