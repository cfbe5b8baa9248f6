#include "kernels/dequantize.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "tests/kernels/test_matrix.h"

namespace gguf_shard {
namespace {

using enum TensorType;

constexpr uint16_t kOne = 0x3c00;   // f16 1.0
constexpr uint16_t kTwo = 0x4000;   // f16 2.0
constexpr uint16_t kHalf = 0x3800;  // f16 0.5

// A block as bytes, written field by field.
class Block {
 public:
  explicit Block(TensorType type) : type_(type), bytes_(GetTensorType(type).block_bytes) {}
  Block& Byte(size_t offset, unsigned value) {
    bytes_.at(offset) = static_cast<std::byte>(value);
    return *this;
  }
  Block& U16(size_t offset, unsigned value) {
    return Byte(offset, value & 255u).Byte(offset + 1, value >> 8);
  }
  Block& Fill(size_t offset, size_t count, unsigned value) {
    for (size_t i = 0; i < count; ++i) Byte(offset + i, value);
    return *this;
  }
  std::vector<float> Decode() const {
    std::vector<float> values(GetTensorType(type_).block_weights);
    Dequantize(type_, bytes_, values);
    return values;
  }

 private:
  TensorType type_;
  std::vector<std::byte> bytes_;
};

// Every value but the named ones equals `rest`.
void ExpectValues(const std::vector<float>& values, float rest,
                  const std::vector<std::pair<size_t, float>>& named) {
  std::vector<float> expected(values.size(), rest);
  for (const auto& [index, value] : named) expected.at(index) = value;
  EXPECT_EQ(values, expected);
}

TEST(DequantizeTest, FloatsAreTakenAsTheyAre) {
  const float value = -1.5f;
  std::vector<std::byte> bytes(4);
  std::memcpy(bytes.data(), &value, 4);
  std::vector<float> out(1);
  Dequantize(kF32, bytes, out);
  EXPECT_EQ(out[0], -1.5f);
  EXPECT_EQ(Block(kF16).U16(0, 0xc000).Decode()[0], -2.0f);
  EXPECT_EQ(Block(kBF16).U16(0, 0x3fc0).Decode()[0], 1.5f);
}

TEST(DequantizeTest, Q4_0CentersNibblesAtEight) {
  const auto values =
      Block(kQ4_0).U16(0, kTwo).Fill(2, 16, 0x88).Byte(2, 0xf0).Byte(2 + 15, 0x19).Decode();
  ExpectValues(values, 0.0f, {{0, -16.0f}, {16, 14.0f}, {15, 2.0f}, {31, -14.0f}});
}

TEST(DequantizeTest, Q4_1AddsItsMinimum) {
  const auto values = Block(kQ4_1).U16(0, kTwo).U16(2, 0xbc00).Byte(4 + 3, 0xf1).Decode();
  ExpectValues(values, -1.0f, {{3, 1.0f}, {19, 29.0f}});
}

TEST(DequantizeTest, Q5_0TakesTheFifthBitFromTheWord) {
  // Bits 1 and 16 of qh: weights 1 and 16.
  const auto values = Block(kQ5_0)
                          .U16(0, kOne)
                          .Byte(2, 0x02)
                          .Byte(4, 0x01)
                          .Byte(6 + 1, 0x03)
                          .Byte(6 + 15, 0xf0)
                          .Decode();
  ExpectValues(values, -16.0f, {{1, 3.0f}, {16, 0.0f}, {31, -1.0f}});
}

TEST(DequantizeTest, Q5_1AddsItsMinimum) {
  const auto values =
      Block(kQ5_1).U16(0, kHalf).U16(2, kOne).Byte(4 + 3, 0x80).Byte(8 + 15, 0xf4).Decode();
  ExpectValues(values, 1.0f, {{15, 3.0f}, {31, 1.0f + 15.5f}});
}

TEST(DequantizeTest, Q8_0ScalesSignedBytes) {
  const auto values = Block(kQ8_0).U16(0, kHalf).Byte(2, 0x80).Byte(2 + 31, 0x7f).Decode();
  ExpectValues(values, 0.0f, {{0, -64.0f}, {31, 63.5f}});
}

TEST(DequantizeTest, Iq4NlLooksUpItsSixteenValues) {
  const float table[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                           1,    13,   25,  38,  53,  69,  89,  113};
  Block block(kIQ4_NL);
  block.U16(0, kTwo);
  for (unsigned i = 0; i < 16; ++i) block.Byte(2 + i, i | (15 - i) << 4);
  const auto values = block.Decode();
  for (size_t i = 0; i < 16; ++i) {
    EXPECT_EQ(values[i], 2.0f * table[i]);
    EXPECT_EQ(values[16 + i], 2.0f * table[15 - i]);
  }
}

TEST(DequantizeTest, Mxfp4IsAPowerOfTwoTimesE2m1) {
  const float e2m1[16] = {0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,  4.0f,  6.0f,
                          -0.0f, -0.5f, -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f};
  for (const int exponent : {0, 1, 2, 100, 127, 130, 250}) {
    Block block(kMXFP4);
    block.Byte(0, static_cast<unsigned>(exponent));
    for (unsigned i = 0; i < 16; ++i) block.Byte(1 + i, i);
    const auto values = block.Decode();
    for (size_t i = 0; i < 16; ++i) EXPECT_EQ(values[i], std::ldexp(e2m1[i], exponent - 127));
    EXPECT_EQ(values[16], 0.0f);
  }
}

TEST(DequantizeTest, Q2KUsesNibblesAsScaleAndMinimumOfSixteenWeights) {
  // Sub-block 0: scale 3, minimum 2; sub-block 9 (weights 144..159): scale 15, minimum 1.
  const auto values = Block(kQ2_K)
                          .U16(80, kTwo)
                          .U16(82, kHalf)
                          .Byte(0, 0x23)
                          .Byte(9, 0x1f)
                          .Byte(16 + 5, 0x02)        // weight 5: two low bits of byte 5
                          .Byte(16 + 32 + 16, 0x03)  // weight 128 + 16
                          .Decode();
  std::vector<float> expected(256, 0.0f);
  for (size_t i = 0; i < 16; ++i) expected[i] = -1.0f;
  for (size_t i = 144; i < 160; ++i) expected[i] = -0.5f;
  expected[5] = 2.0f * 3 * 2 - 1.0f;
  expected[144] = 2.0f * 15 * 3 - 0.5f;
  EXPECT_EQ(values, expected);
}

TEST(DequantizeTest, Q3KTakesItsThirdBitFromTheMaskAndScalesFromThreeFields) {
  // All six-bit scales are 0, that is -32, but the ones set below.
  const auto values = Block(kQ3_K)
                          .U16(108, kOne)
                          .Byte(96 + 1, 0x01)        // low nibble of sub-block 1 ...
                          .Byte(96 + 8 + 1, 0x02)    // ... and its top bits: 0x21 - 32 = 1
                          .Byte(96 + 7, 0xf0)        // sub-block 15, low nibble 15 ...
                          .Byte(96 + 8 + 3, 0xc0)    // ... top bits 3: 63 - 32 = 31
                          .Byte(16, 0x81)            // mask of weights 16 and 240
                          .Byte(32 + 16, 0x03)       // weight 16
                          .Byte(32 + 32 + 17, 0x80)  // weight 128 + 96 + 17 = 241
                          .Decode();
  std::vector<float> expected(256, -32.0f * -4);
  for (size_t i = 16; i < 32; ++i) expected[i] = -4.0f;
  for (size_t i = 240; i < 256; ++i) expected[i] = 31.0f * -4;
  expected[16] = 3.0f;
  expected[240] = 0.0f;
  expected[241] = 31.0f * -2;
  EXPECT_EQ(values, expected);
}

TEST(DequantizeTest, Q4KUnpacksSixBitScalesAndMinima) {
  // Sub-block 0: scale 63, minimum 1. Sub-block 6: scale 0x2a, minimum 0x15.
  const auto values = Block(kQ4_K)
                          .U16(0, kOne)
                          .U16(2, kTwo)
                          .Byte(4 + 0, 63)
                          .Byte(4 + 4, 1)
                          .Byte(4 + 10, 0x5a)
                          .Byte(4 + 2, 0x80)
                          .Byte(4 + 6, 0x40)
                          .Byte(16 + 31, 0x0f)      // weight 31
                          .Byte(16 + 96 + 4, 0x02)  // weight 192 + 4
                          .Decode();
  std::vector<float> expected(256, 0.0f);
  for (size_t i = 0; i < 32; ++i) expected[i] = -2.0f;
  for (size_t i = 192; i < 224; ++i) expected[i] = -2.0f * 0x15;
  expected[31] = 63.0f * 15 - 2.0f;
  expected[196] = 42.0f * 2 - 2.0f * 0x15;
  EXPECT_EQ(values, expected);
}

TEST(DequantizeTest, Q5KTakesTheFifthBitOfASubBlockFromItsOwnBit) {
  const auto values = Block(kQ5_K)
                          .U16(0, kOne)
                          .Byte(4 + 1, 2)           // scale of sub-block 1
                          .Byte(4 + 11, 0x03)       // scale of sub-block 7
                          .Byte(16 + 9, 0x82)       // fifth bits of weights 32 + 9 and 224 + 9
                          .Byte(48 + 9, 0x70)       // weight 32 + 9
                          .Byte(48 + 96 + 9, 0x10)  // weight 224 + 9
                          .Decode();
  ExpectValues(values, 0.0f, {{41, 2.0f * 23}, {233, 3.0f * 17}});
}

TEST(DequantizeTest, Q6KJoinsNibblesAndPairsOfBits) {
  Block block(kQ6_K);
  block.U16(208, kHalf).Byte(192, 2).Byte(192 + 15, 0x80);   // scales 2 and -128
  block.Byte(0, 0x05).Byte(128, 0x01);                       // weight 0: 0x15 - 32
  block.Byte(64 + 32 + 31, 0xf0).Byte(128 + 32 + 31, 0xc0);  // weight 255: 63 - 32
  std::vector<float> expected(256, 0.0f);
  for (size_t i = 0; i < 16; ++i) expected[i] = -32.0f;
  for (size_t i = 240; i < 256; ++i) expected[i] = -64.0f * -32;
  expected[0] = 21.0f - 32.0f;
  expected[255] = -64.0f * 31;
  EXPECT_EQ(block.Decode(), expected);
}

TEST(DequantizeTest, Iq4XsJoinsFourAndTwoBitsOfItsScales) {
  // Sub-block 5: low nibble 9 (high half of byte 2), top bits 2: 41 - 32 = 9.
  const auto values = Block(kIQ4_XS)
                          .U16(0, kTwo)
                          .U16(2, 2u << 10)
                          .Byte(4 + 2, 0x90)
                          .Fill(8, 128, 0x88)          // table value 1
                          .Byte(8 + 5 * 16 + 3, 0xf0)  // weights 163 and 179
                          .Decode();
  std::vector<float> expected(256, 2.0f * -32);
  for (size_t i = 160; i < 192; ++i) expected[i] = 18.0f;
  expected[163] = 18.0f * -127;
  expected[179] = 18.0f * 113;
  EXPECT_EQ(values, expected);
}

// Each bit of a block's integers belongs to exactly one weight: flipping it changes no other.
TEST(DequantizeTest, EveryIntegerBitMovesExactlyOneWeight) {
  const std::pair<TensorType, std::pair<size_t, size_t>> integer_bytes[] = {
      {kQ4_0, {2, 18}},   {kQ4_1, {4, 20}},   {kQ5_0, {2, 22}},   {kQ5_1, {4, 24}},
      {kQ8_0, {2, 34}},   {kIQ4_NL, {2, 18}}, {kMXFP4, {1, 17}},  {kQ2_K, {16, 80}},
      {kQ3_K, {0, 96}},   {kQ4_K, {16, 144}}, {kQ5_K, {16, 176}}, {kQ6_K, {0, 192}},
      {kIQ4_XS, {8, 136}}};
  for (const auto& [type, range] : integer_bytes) {
    const TensorTypeInfo& info = GetTensorType(type);
    auto blocks = RandomBlocks(type, 1, 99);
    // Odd scales everywhere, so that no sub-block is all zero.
    if (type == kQ2_K) std::memset(blocks.data(), 0x11, 16);
    if (type == kQ3_K) std::memset(blocks.data() + 96, 0x11, 12);
    if (type == kQ4_K || type == kQ5_K) std::memset(blocks.data() + 4, 0x55, 12);
    if (type == kQ6_K) std::memset(blocks.data() + 192, 0x07, 16);
    if (type == kIQ4_XS) std::memset(blocks.data() + 2, 0x11, 6);
    if (type == kMXFP4) std::memset(blocks.data() + 1, 0x22, 16);
    std::vector<float> before(info.block_weights);
    Dequantize(type, blocks, before);
    std::vector<uint32_t> changes(info.block_weights);
    for (size_t bit = range.first * 8; bit < range.second * 8; ++bit) {
      auto flipped = blocks;
      flipped[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
      std::vector<float> after(info.block_weights);
      Dequantize(type, flipped, after);
      size_t changed = 0;
      for (size_t i = 0; i < after.size(); ++i) {
        if (after[i] != before[i]) ++changed, ++changes[i];
      }
      ASSERT_EQ(changed, 1u) << info.name << " bit " << bit;
    }
    const size_t bits_per_weight = (range.second - range.first) * 8 / info.block_weights;
    for (const uint32_t count : changes) ASSERT_EQ(count, bits_per_weight) << info.name;
  }
}

TEST(DequantizeTest, ManyBlocksAreDecodedLikeEachAlone) {
  for (const TensorType type : kMatMulTypes) {
    const TensorTypeInfo& info = GetTensorType(type);
    const auto blocks = RandomBlocks(type, 5, 7);
    std::vector<float> all(size_t{5} * info.block_weights);
    Dequantize(type, blocks, all);
    for (size_t i = 0; i < 5; ++i) {
      std::vector<float> one(info.block_weights);
      Dequantize(type, std::span(blocks).subspan(i * info.block_bytes, info.block_bytes), one);
      ASSERT_EQ(0, std::memcmp(one.data(), all.data() + i * info.block_weights,
                               one.size() * sizeof(float)));
    }
  }
}

TEST(HalfTest, AllHalvesSurviveTheWayToFloatAndBack) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float value = F16ToF32(half);
    if ((bits & 0x7c00u) == 0x7c00u && (bits & 0x3ffu) != 0) {
      ASSERT_TRUE(std::isnan(value)) << bits;
      ASSERT_EQ(F32ToF16(value), half | 0x200u) << bits;
    } else {
      ASSERT_EQ(F32ToF16(value), half) << bits;
    }
  }
}

TEST(HalfTest, KnownValues) {
  EXPECT_EQ(F16ToF32(0x3c00), 1.0f);
  EXPECT_EQ(F16ToF32(0xc500), -5.0f);
  EXPECT_EQ(F16ToF32(0x7bff), 65504.0f);
  EXPECT_EQ(F16ToF32(0x0001), 0x1p-24f);
  EXPECT_EQ(F16ToF32(0x03ff), 1023 * 0x1p-24f);
  EXPECT_EQ(F16ToF32(0x0400), 0x1p-14f);
  EXPECT_EQ(F16ToF32(0x7c00), INFINITY);
  EXPECT_TRUE(std::signbit(F16ToF32(0x8000)));
}

TEST(HalfTest, RoundsToNearestAndTiesToEven) {
  EXPECT_EQ(F32ToF16(1.0f + 0x1p-11f), 0x3c00);             // tie, down to even
  EXPECT_EQ(F32ToF16(1.0f + 3 * 0x1p-11f), 0x3c02);         // tie, up to even
  EXPECT_EQ(F32ToF16(1.0f + 0x1p-11f + 0x1p-20f), 0x3c01);  // above the tie
  EXPECT_EQ(F32ToF16(65519.996f), 0x7bff);
  EXPECT_EQ(F32ToF16(65520.0f), 0x7c00);  // tie, up to infinity
  EXPECT_EQ(F32ToF16(0x1p-25f), 0x0000);  // tie, down to zero
  EXPECT_EQ(F32ToF16(0x1.000002p-25f), 0x0001);
  EXPECT_EQ(F32ToF16(-0x1.8p-24f), 0x8002);   // tie, up to even
  EXPECT_EQ(F32ToF16(0x1.ffcp-15f), 0x0400);  // carries into the normal range
  EXPECT_EQ(F32ToF16(1e-30f), 0x0000);
}

TEST(HalfTest, EveryMidpointBetweenHalvesGoesToTheEvenOne) {
  for (uint32_t bits = 0; bits < 0x7bff; ++bits) {
    const float low = F16ToF32(static_cast<uint16_t>(bits));
    const float high = F16ToF32(static_cast<uint16_t>(bits + 1));
    const float middle = (low + high) / 2;
    ASSERT_EQ(F32ToF16(middle), bits % 2 == 0 ? bits : bits + 1);
    ASSERT_EQ(F32ToF16(std::nextafter(middle, 0.0f)), bits);
    ASSERT_EQ(F32ToF16(std::nextafter(middle, INFINITY)), bits + 1);
  }
}

TEST(HalfTest, Bf16IsTheUpperHalfOfAFloat) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    ASSERT_EQ(std::bit_cast<uint32_t>(Bf16ToF32(static_cast<uint16_t>(bits))), bits << 16);
  }
}

}  // namespace
}  // namespace gguf_shard
