#include "kernels/vector_ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "kernels/dequantize.h"

namespace gguf_shard {
namespace {

std::vector<float> RandomValues(size_t count, uint32_t seed, float magnitude = 1.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, magnitude);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

// Distance in units of the last place of `expected`.
double Ulps(float actual, double expected) {
  const float rounded = static_cast<float>(expected);
  const double unit = double{std::nextafter(std::abs(rounded), INFINITY)} - std::abs(rounded);
  return std::abs(double{actual} - expected) / unit;
}

constexpr size_t kCounts[] = {1, 3, 8, 15, 16, 17, 31, 64, 100, 192, 1001};

class VectorOpsTest : public testing::TestWithParam<KernelIsa> {
 protected:
  void SetUp() override {
    if (!KernelIsaIsSupported(isa())) GTEST_SKIP() << "this processor lacks it";
  }
  KernelIsa isa() const { return GetParam(); }
};

TEST_P(VectorOpsTest, RmsNormDividesByTheRootOfTheMeanSquare) {
  for (const size_t count : kCounts) {
    const auto x = RandomValues(count, 1, 3.0f);
    const auto weight = RandomValues(count, 2);
    std::vector<float> y(count + 1, 42.0f);
    RmsNorm(isa(), x.data(), weight.data(), 1e-5f, count, y.data());
    double squares = 0;
    for (const float value : x) squares += double{value} * double{value};
    const double root = std::sqrt(squares / static_cast<double>(count) + 1e-5);
    for (size_t i = 0; i < count; ++i) {
      ASSERT_LT(Ulps(y[i], double{x[i]} / root * double{weight[i]}), 6.0) << count;
    }
    EXPECT_EQ(y[count], 42.0f);
  }
}

TEST_P(VectorOpsTest, RmsNormMayWriteOverItsInput) {
  auto x = RandomValues(100, 3);
  const auto weight = RandomValues(100, 4);
  std::vector<float> y(100);
  RmsNorm(isa(), x.data(), weight.data(), 1e-6f, 100, y.data());
  RmsNorm(isa(), x.data(), weight.data(), 1e-6f, 100, x.data());
  EXPECT_EQ(x, y);
}

TEST_P(VectorOpsTest, AddInPlaceAndAddScaledTouchExactlyTheirValues) {
  for (const size_t count : kCounts) {
    const auto y = RandomValues(count + 1, 5);
    auto sum = RandomValues(count + 1, 6);
    auto scaled = sum;
    const auto before = sum;
    AddInPlace(isa(), sum.data(), y.data(), count);
    AddScaled(isa(), scaled.data(), y.data(), 0.37f, count);
    for (size_t i = 0; i < count; ++i) {
      ASSERT_EQ(sum[i], before[i] + y[i]);
      ASSERT_NEAR(scaled[i], double{before[i]} + double{0.37f} * double{y[i]}, 2e-7 * 8);
    }
    EXPECT_EQ(sum[count], before[count]);
    EXPECT_EQ(scaled[count], before[count]);
  }
}

TEST_P(VectorOpsTest, SwiGluIsAccurateOverTheWholeRange) {
  std::vector<float> gate;
  for (float g = -87.0f; g < 100.0f; g += 0.0371f) gate.push_back(g);
  const auto up = RandomValues(gate.size(), 7);
  std::vector<float> y(gate.size());
  SwiGlu(isa(), gate.data(), up.data(), gate.size(), y.data());
  for (size_t i = 0; i < gate.size(); ++i) {
    const double g = double{gate[i]};
    const double expected = g / (1.0 + std::exp(-g)) * double{up[i]};
    ASSERT_LT(Ulps(y[i], expected), 5.0) << "gate " << gate[i];
  }
}

TEST_P(VectorOpsTest, SwiGluOfExtremeGatesIsZeroOrTheProduct) {
  const float gate[] = {-1e30f, -200.0f, -0.0f, 200.0f, 1e30f, -104.5f, 3.0f};
  const float up[] = {2.0f, 2.0f, 2.0f, 2.0f, 2.0f, 2.0f, std::numeric_limits<float>::quiet_NaN()};
  float y[7];
  SwiGlu(isa(), gate, up, 7, y);
  EXPECT_EQ(y[0], 0.0f);
  EXPECT_EQ(y[1], 0.0f);
  EXPECT_EQ(y[2], 0.0f);
  EXPECT_EQ(y[3], 400.0f);
  EXPECT_EQ(y[4], 2e30f);
  EXPECT_NEAR(y[5], 0.0f, 1e-30f);
  EXPECT_TRUE(std::isnan(y[6]));
}

TEST_P(VectorOpsTest, SoftmaxSumsToOneAndKeepsTheRatios) {
  for (const size_t count : kCounts) {
    const auto x = RandomValues(count, 8, 20.0f);
    auto y = x;
    y.push_back(42.0f);
    Softmax(isa(), y.data(), count);
    const double largest = double{*std::max_element(x.begin(), x.end())};
    double sum = 0;
    for (const float value : x) sum += std::exp(double{value} - largest);
    for (size_t i = 0; i < count; ++i) {
      const double expected = std::exp(double{x[i] - static_cast<float>(largest)}) / sum;
      ASSERT_NEAR(y[i], expected, 1e-6 * expected + 1e-38) << count;
    }
    EXPECT_EQ(y[count], 42.0f);
  }
}

TEST_P(VectorOpsTest, SoftmaxIgnoresMinusInfinityAndShowsNan) {
  std::vector<float> x(40, -INFINITY);
  x[5] = 1000.0f;
  x[22] = 1000.0f;
  Softmax(isa(), x.data(), x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    EXPECT_EQ(x[i], i == 5 || i == 22 ? 0.5f : 0.0f) << i;
  }
  std::vector<float> bad(20, 1.0f);
  bad[7] = std::numeric_limits<float>::quiet_NaN();
  Softmax(isa(), bad.data(), bad.size());
  EXPECT_TRUE(std::isnan(bad[7]));
}

std::vector<float> ReadRow(KernelIsa isa, KvType type, const std::vector<std::byte>& row,
                           size_t count) {
  std::vector<float> values(count, 0.0f);
  LoadKvRow(isa, type, row.data(), count, values.data());
  return values;
}

TEST_P(VectorOpsTest, KvRowsGiveBackWhatTheirTypeCanHold) {
  for (const KvType type : {KvType::kF32, KvType::kF16, KvType::kQ8_0}) {
    for (const size_t count : {32u, 64u, 96u, 128u, 192u}) {
      const auto values = RandomValues(count, 9, 2.0f);
      std::vector<std::byte> row(KvRowBytes(type, count) + 1, std::byte{0x5a});
      StoreKvRow(isa(), type, values.data(), count, row.data());
      EXPECT_EQ(row.back(), std::byte{0x5a});
      const auto read = ReadRow(isa(), type, row, count);
      for (size_t i = 0; i < count; ++i) {
        const float expected = type == KvType::kF16 ? F16ToF32(F32ToF16(values[i])) : values[i];
        ASSERT_NEAR(read[i], expected, type == KvType::kQ8_0 ? 8.0f / 127 : 0.0f);
      }
    }
  }
}

TEST_P(VectorOpsTest, KvRowsOfOddLengthWorkForFloats) {
  for (const KvType type : {KvType::kF32, KvType::kF16}) {
    for (const size_t count : kCounts) {
      const auto values = RandomValues(count, 10);
      std::vector<std::byte> row(KvRowBytes(type, count) + 1, std::byte{0x5a});
      StoreKvRow(isa(), type, values.data(), count, row.data());
      EXPECT_EQ(row.back(), std::byte{0x5a});
      const auto read = ReadRow(isa(), type, row, count);
      for (size_t i = 0; i < count; ++i) {
        const float expected = type == KvType::kF16 ? F16ToF32(F32ToF16(values[i])) : values[i];
        ASSERT_EQ(read[i], expected) << i << " of " << count;
      }
    }
  }
}

TEST_P(VectorOpsTest, RotationsTurnPairsAndNothingElse) {
  for (const size_t pairs : {1u, 3u, 16u, 37u, 64u}) {
    const auto before = RandomValues(2 * pairs + 5, 14);
    std::vector<float> turns;
    for (size_t i = 0; i < pairs; ++i) {
      turns.push_back(std::cos(0.3f * static_cast<float>(i)));
      turns.push_back(std::sin(0.3f * static_cast<float>(i)));
    }
    auto adjacent = before;
    auto halves = before;
    RotateAdjacent(isa(), turns.data(), pairs, adjacent.data());
    RotateHalves(isa(), turns.data(), pairs, halves.data());
    for (size_t i = 0; i < pairs; ++i) {
      const float cosine = turns[2 * i];
      const float sine = turns[2 * i + 1];
      const auto expect = [&](const std::vector<float>& after, size_t first, size_t second) {
        const float x = before[first];
        const float y = before[second];
        ASSERT_EQ(after[first], x * cosine - y * sine) << i;
        ASSERT_EQ(after[second], x * sine + y * cosine) << i;
      };
      expect(adjacent, 2 * i, 2 * i + 1);
      expect(halves, i, pairs + i);
    }
    for (size_t i = 2 * pairs; i < before.size(); ++i) {
      ASSERT_EQ(adjacent[i], before[i]);
      ASSERT_EQ(halves[i], before[i]);
    }
  }
}

TEST_P(VectorOpsTest, Q8RowsSurviveZerosAndHugeValues) {
  std::vector<float> values(64, 0.0f);
  values[40] = 1e30f;
  values[41] = -3.0f;
  std::vector<std::byte> row(KvRowBytes(KvType::kQ8_0, 64));
  StoreKvRow(isa(), KvType::kQ8_0, values.data(), 64, row.data());
  const auto read = ReadRow(isa(), KvType::kQ8_0, row, 64);
  for (size_t i = 0; i < 32; ++i) EXPECT_EQ(read[i], 0.0f);
  EXPECT_EQ(read[40], 65504.0f * 127);  // the largest that the format holds
}

TEST_P(VectorOpsTest, F16RowsConvertEveryValueLikeTheScalarDefinition) {
  std::vector<float> values;
  for (uint32_t i = 0; i < 65536; i += 16) {
    const uint32_t bits = i << 16 | (i * 40503u & 0xffffu);
    float value;
    std::memcpy(&value, &bits, sizeof value);
    if (!std::isnan(value)) values.push_back(value);
  }
  std::vector<std::byte> row(KvRowBytes(KvType::kF16, values.size()));
  StoreKvRow(isa(), KvType::kF16, values.data(), values.size(), row.data());
  for (size_t i = 0; i < values.size(); ++i) {
    uint16_t bits;
    std::memcpy(&bits, row.data() + i * 2, sizeof bits);
    ASSERT_EQ(bits, F32ToF16(values[i])) << values[i];
  }
}

TEST_P(VectorOpsTest, F16RowsReadEveryFiniteHalfExactly) {
  std::vector<std::byte> row(65536 * 2);
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<uint16_t>((bits & 0x7c00u) == 0x7c00u ? 0 : bits);
    std::memcpy(row.data() + bits * 2, &half, sizeof half);
  }
  const auto read = ReadRow(isa(), KvType::kF16, row, 65536);
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<uint16_t>((bits & 0x7c00u) == 0x7c00u ? 0 : bits);
    ASSERT_EQ(read[bits], F16ToF32(half)) << bits;
  }
}

INSTANTIATE_TEST_SUITE_P(Isas, VectorOpsTest,
                         testing::Values(KernelIsa::kPortable, KernelIsa::kNeon, KernelIsa::kAvx2,
                                         KernelIsa::kAvx512Vnni, KernelIsa::kAmx),
                         [](const testing::TestParamInfo<KernelIsa>& parameters) {
                           return std::string(KernelIsaName(parameters.param));
                         });

TEST(KvTypeTest, NamesAreRecognizedAndOthersAreNamedInTheError) {
  for (const KvType type : {KvType::kF32, KvType::kF16, KvType::kQ8_0}) {
    EXPECT_EQ(KvTypeFromName(KvTypeName(type)).value(), type);
  }
  const auto unknown = KvTypeFromName("q4_0");
  ASSERT_FALSE(unknown.has_value());
  EXPECT_EQ(unknown.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(unknown.error().found(), "q4_0");
}

TEST(KvTypeTest, RowBytesFollowTheFormats) {
  EXPECT_EQ(KvRowBytes(KvType::kF32, 80), 320u);
  EXPECT_EQ(KvRowBytes(KvType::kF16, 80), 160u);
  EXPECT_EQ(KvRowBytes(KvType::kQ8_0, 96), 102u);
}

}  // namespace
}  // namespace gguf_shard
