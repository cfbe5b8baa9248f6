#include "kernels/activations.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/cpu/quantize_task.h"
#include "kernels/matmul.h"
#include "tests/kernels/test_matrix.h"

namespace gguf_shard {
namespace {

int Integer(const ActivationBatch& batch, uint32_t token, uint32_t column) {
  const ActivationGroup& group = batch.groups(token)[column / 32];
  return 256 * group.high[column % 32] + group.low[column % 32];
}

TEST(ActivationBatchTest, IntegersTimesScaleAreWithinHalfAStepOfTheValues) {
  const uint32_t columns = 1000;
  const auto values = RandomActivations(3, columns, 1);
  const ActivationBatch batch = MakeBatch(3, columns, values);
  for (uint32_t t = 0; t < 3; ++t) {
    for (uint32_t c = 0; c < columns; ++c) {
      const double scale = double{batch.factors(t)[c / 32].scale};
      const double value = double{values[t * columns + c]};
      ASSERT_LE(std::abs(Integer(batch, t, c)), 127 * 256);
      ASSERT_NEAR(Integer(batch, t, c) * scale, value, scale * 0.51);
      ASSERT_EQ(batch.values(t)[c], values[t * columns + c]);
    }
  }
}

TEST(ActivationBatchTest, TheLargestValueOfAGroupUsesTheWholeRange) {
  std::vector<float> values(64, 0.25f);
  values[7] = -3.0f;
  const ActivationBatch batch = MakeBatch(1, 64, values);
  EXPECT_EQ(Integer(batch, 0, 7), -127 * 256);
  EXPECT_EQ(batch.factors(0)[0].scale, 3.0f / 32512);
  EXPECT_EQ(Integer(batch, 0, 40), 127 * 256);
}

TEST(ActivationBatchTest, SumsAreTheSumsOfTheIntegersTimesTheScale) {
  const ActivationBatch batch = MakeBatch(1, 256, RandomActivations(1, 256, 2));
  for (uint32_t g = 0; g < 8; ++g) {
    int halves[2] = {0, 0};
    for (uint32_t i = 0; i < 32; ++i) halves[i / 16] += Integer(batch, 0, g * 32 + i);
    const ActivationFactors& factors = batch.factors(0)[g];
    EXPECT_EQ(factors.half_sum[0], factors.scale * static_cast<float>(halves[0]));
    EXPECT_EQ(factors.half_sum[1], factors.scale * static_cast<float>(halves[1]));
    EXPECT_EQ(factors.sum, factors.scale * static_cast<float>(halves[0] + halves[1]));
  }
}

TEST(ActivationBatchTest, EverythingBehindTheColumnsIsZero) {
  ActivationBatch batch = MakeBatch(2, 512, RandomActivations(2, 512, 3));
  batch.Resize(3, 70);
  const auto values = RandomActivations(3, 70, 4);
  for (uint32_t t = 0; t < 3; ++t) batch.Quantize(t, values.data() + t * 70);
  EXPECT_EQ(batch.padded_columns(), 256u);
  for (uint32_t t = 0; t < 3; ++t) {
    for (uint32_t c = 70; c < 256; ++c) {
      ASSERT_EQ(Integer(batch, t, c), 0);
      ASSERT_EQ(batch.values(t)[c], 0.0f);
    }
    EXPECT_EQ(batch.factors(t)[3].scale, 0.0f);
    EXPECT_EQ(batch.factors(t)[7].sum, 0.0f);
  }
}

TEST(ActivationBatchTest, ZerosAndVanishingValuesBecomeZero) {
  std::vector<float> values(64, 0.0f);
  for (size_t i = 32; i < 64; ++i) values[i] = 1e-40f;
  const ActivationBatch batch = MakeBatch(1, 64, values);
  for (uint32_t c = 0; c < 64; ++c) EXPECT_EQ(Integer(batch, 0, c), 0);
  EXPECT_EQ(batch.factors(0)[0].sum, 0.0f);
  EXPECT_EQ(batch.factors(0)[1].sum, 0.0f);
}

TEST(ActivationBatchTest, HugeValuesKeepTheirPrecision) {
  std::vector<float> values(32, 1e38f);
  values[3] = -3.4e38f;
  const ActivationBatch batch = MakeBatch(1, 32, values);
  const double scale = double{batch.factors(0)[0].scale};
  EXPECT_EQ(Integer(batch, 0, 3), -32512);
  EXPECT_NEAR(Integer(batch, 0, 0) * scale / 1e38, 1.0, 1e-4);
}

TEST(ActivationBatchTest, ValuesThatAreNotFiniteShowInTheProducts) {
  const TestMatrix matrix = RandomMatrix(TensorType::kQ8_0, 40, 128, 5);
  for (const float bad : {INFINITY, -INFINITY, std::numeric_limits<float>::quiet_NaN()}) {
    auto values = RandomActivations(1, 128, 6);
    values[70] = bad;
    const ActivationBatch x = MakeBatch(1, 128, values);
    const uint32_t token = 0;
    std::vector<float> y(40);
    MatMul(DetectKernelIsa(), matrix.Run(), x, std::span(&token, 1), y.data(), 40);
    for (const float value : y) EXPECT_FALSE(std::isfinite(value));
  }
}

TEST(ActivationBatchTest, ReserveBytesCoversWhatResizeNeeds) {
  EXPECT_EQ(ActivationBatch::ReserveBytes(1, 256), 256u * 2 + 8 * 16 + 1024 + 64);
  EXPECT_EQ(ActivationBatch::ReserveBytes(7, 1), 7 * ActivationBatch::ReserveBytes(1, 256));
}

TEST(QuantizeKernelsTest, AllInstructionSetsGiveTheSameBits) {
  const uint32_t groups = 64;
  auto values = RandomActivations(1, groups * 32, 8);
  for (size_t i = 0; i < 32; ++i) values[i] = 0.0f;
  for (size_t i = 32; i < 64; ++i) values[i] *= 1e-38f;
  for (size_t i = 64; i < 96; ++i) values[i] *= 1e36f;
  for (size_t i = 96; i < 128; ++i) values[i] = static_cast<float>(i) - 111.5f;  // ties
  std::vector<ActivationGroup> expected_groups(groups);
  std::vector<ActivationFactors> expected_factors(groups);
  portable::QuantizeGroups(values.data(), groups, expected_groups.data(), expected_factors.data());
  const auto check = [&](QuantizeKernel kernel) {
    std::vector<ActivationGroup> g(groups);
    std::vector<ActivationFactors> f(groups);
    kernel(values.data(), groups, g.data(), f.data());
    EXPECT_EQ(0, std::memcmp(g.data(), expected_groups.data(), groups * sizeof g[0]));
    EXPECT_EQ(0, std::memcmp(f.data(), expected_factors.data(), groups * sizeof f[0]));
  };
#if defined(__x86_64__)
  if (KernelIsaIsSupported(KernelIsa::kAvx2)) check(avx2::QuantizeGroups);
  if (KernelIsaIsSupported(KernelIsa::kAvx512Vnni)) check(avx512::QuantizeGroups);
#elif defined(__aarch64__)
  check(neon::QuantizeGroups);
#endif
  check(portable::QuantizeGroups);
}

}  // namespace
}  // namespace gguf_shard
