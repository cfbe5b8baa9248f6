#include "runtime/rope.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <vector>

namespace gguf_shard {
namespace {

std::vector<float> TurnsAt(const Rope& rope, uint32_t position) {
  std::vector<float> turns(size_t{2} * rope.pair_count());
  rope.Turns(position, turns);
  return turns;
}

TEST(RopeTest, FrequenciesFallFromPairToPair) {
  const Rope rope({.dimensions = 8, .frequency_base = 10000}, RopeOrder::kAdjacent, {});
  const auto turns = TurnsAt(rope, 3);
  ASSERT_EQ(turns.size(), 8u);
  const std::array<double, 4> frequencies = {1.0, 0.1, 0.01, 0.001};
  for (size_t pair = 0; pair < 4; ++pair) {
    EXPECT_NEAR(turns[2 * pair], std::cos(3 * frequencies[pair]), 1e-7);
    EXPECT_NEAR(turns[2 * pair + 1], std::sin(3 * frequencies[pair]), 1e-7);
  }
}

TEST(RopeTest, AdjacentOrderTurnsNeighbours) {
  const Rope rope({.dimensions = 4, .frequency_base = 1}, RopeOrder::kAdjacent, {});
  std::array<float, 6> head = {1, 0, 0, 1, 7, 8};
  rope.Rotate(DetectKernelIsa(), TurnsAt(rope, 1), head.data());
  const auto cosine = static_cast<float>(std::cos(1.0));
  const auto sine = static_cast<float>(std::sin(1.0));
  EXPECT_FLOAT_EQ(head[0], cosine);
  EXPECT_FLOAT_EQ(head[1], sine);
  EXPECT_FLOAT_EQ(head[2], -sine);
  EXPECT_FLOAT_EQ(head[3], cosine);
  EXPECT_EQ(head[4], 7);  // beyond the rotated dimensions
  EXPECT_EQ(head[5], 8);
}

TEST(RopeTest, HalvesOrderTurnsValuesHalfARotationApart) {
  const Rope rope({.dimensions = 4, .frequency_base = 1}, RopeOrder::kHalves, {});
  std::array<float, 4> head = {1, 0, 0, 1};
  rope.Rotate(DetectKernelIsa(), TurnsAt(rope, 1), head.data());
  const auto cosine = static_cast<float>(std::cos(1.0));
  const auto sine = static_cast<float>(std::sin(1.0));
  EXPECT_FLOAT_EQ(head[0], cosine);
  EXPECT_FLOAT_EQ(head[2], sine);
  EXPECT_FLOAT_EQ(head[1], -sine);
  EXPECT_FLOAT_EQ(head[3], cosine);
}

TEST(RopeTest, LinearScalingIsASlowerPosition) {
  const RopeParameters plain = {.dimensions = 16};
  RopeParameters scaled = plain;
  scaled.scaling = RopeScaling::kLinear;
  scaled.factor = 4;
  EXPECT_EQ(TurnsAt(Rope(scaled, RopeOrder::kHalves, {}), 20),
            TurnsAt(Rope(plain, RopeOrder::kHalves, {}), 5));
}

TEST(RopeTest, FactorsDivideTheirPairsFrequencies) {
  const RopeParameters parameters = {.dimensions = 4};
  const std::array<float, 2> factors = {1, 8};
  const auto plain = TurnsAt(Rope(parameters, RopeOrder::kHalves, {}), 16);
  const auto divided = TurnsAt(Rope(parameters, RopeOrder::kHalves, factors), 16);
  EXPECT_EQ(divided[0], plain[0]);
  EXPECT_NEAR(divided[2], std::cos(16 * 0.01 / 8), 1e-7);
}

TEST(RopeTest, YarnKeepsFastPairsAndSlowsSlowOnes) {
  RopeParameters parameters = {.dimensions = 64, .frequency_base = 10000};
  parameters.scaling = RopeScaling::kYarn;
  parameters.factor = 4;
  parameters.original_context = 2048;
  const Rope rope(parameters, RopeOrder::kHalves, {});
  const auto turns = TurnsAt(rope, 1);
  const double magnitude = 1 + 0.1 * std::log(4.0);
  const double fastest = std::atan2(turns[1], turns[0]);
  const double slowest = std::atan2(turns[63], turns[62]);
  EXPECT_NEAR(fastest, 1.0, 1e-6);
  EXPECT_NEAR(slowest, std::pow(10000.0, -62.0 / 64) / 4, 1e-9);
  EXPECT_NEAR(std::hypot(turns[0], turns[1]), magnitude, 1e-6);
}

}  // namespace
}  // namespace gguf_shard
