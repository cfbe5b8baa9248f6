#include "runtime/sampler.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <set>

namespace gguf_shard {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr std::array<double, 4> kProbabilities = {0.15, 0.5, 0.05, 0.3};

// Nothing but the draw at temperature 1.
SamplingParams PlainParams() {
  SamplingParams params;
  params.temperature = 1;
  params.top_k = 0;
  params.top_p = 1;
  params.min_p = 0;
  params.seed = 7;
  return params;
}

SamplingParams GreedyParams() {
  SamplingParams params = PlainParams();
  params.temperature = 0;
  return params;
}

std::vector<float> Logits() {
  std::vector<float> logits;
  for (const double p : kProbabilities) logits.push_back(static_cast<float>(std::log(p)) + 3);
  return logits;
}

TokenId SampleOnce(const SamplingParams& params, std::vector<float> logits,
                   const std::vector<TokenId>& history = {}) {
  return Sampler(params).Sample(logits, history);
}

// Which tokens 2000 draws from kProbabilities give.
std::set<TokenId> Reached(const SamplingParams& params) {
  Sampler sampler(params);
  std::set<TokenId> reached;
  for (int i = 0; i < 2000; ++i) {
    std::vector<float> logits = Logits();
    reached.insert(sampler.Sample(logits, {}));
  }
  return reached;
}

using Tokens = std::set<TokenId>;

TEST(SamplerRandom, IsTheGeneratorThatItsAuthorsPublished) {
  uint64_t state = 1234567;
  EXPECT_EQ(SplitMix64(state), 6457827717110365317U);
  EXPECT_EQ(SplitMix64(state), 3203168211198807973U);
  EXPECT_EQ(SplitMix64(state), 9817491932198370423U);
  Xoshiro256 random(std::array<uint64_t, 4>{1, 2, 3, 4});
  EXPECT_EQ(random.Next(), 11520U);
  EXPECT_EQ(random.Next(), 0U);
  EXPECT_EQ(random.Next(), 1509978240U);
  EXPECT_EQ(random.Next(), 1215971899390074240U);
}

TEST(SamplerRandom, UnitNumbersAreBelowOneAndEven) {
  Xoshiro256 random(99);
  double sum = 0;
  for (int i = 0; i < 100000; ++i) {
    const double unit = random.NextUnit();
    ASSERT_GE(unit, 0);
    ASSERT_LT(unit, 1);
    sum += unit;
  }
  EXPECT_NEAR(sum / 100000, 0.5, 0.004);  // four standard deviations
}

TEST(SamplerExp, AgreesWithTheLibrary) {
  for (double x = -690; x <= 0; x += 0.0371) {
    EXPECT_NEAR(ExpOfNegative(x) / std::exp(x), 1, 2e-15) << x;
  }
  EXPECT_EQ(ExpOfNegative(0), 1);
  EXPECT_EQ(ExpOfNegative(5), 1);
  EXPECT_EQ(ExpOfNegative(-1e300), 0);
  EXPECT_EQ(ExpOfNegative(-static_cast<double>(kInf)), 0);
}

TEST(GreedySampling, TakesTheHighestLogit) {
  EXPECT_EQ(SampleOnce(GreedyParams(), {1, 5, 3}), 1);
  EXPECT_EQ(SampleOnce(GreedyParams(), {-1, -5, -0.5F}), 2);
}

TEST(GreedySampling, TakesTheFirstAmongEquals) {
  EXPECT_EQ(SampleOnce(GreedyParams(), {1, 4, 4, 4}), 1);
}

TEST(GreedySampling, HoldsForEveryTemperatureThatIsNotPositive) {
  SamplingParams params = GreedyParams();
  params.temperature = -1;
  EXPECT_EQ(SampleOnce(params, {1, 5, 3}), 1);
}

TEST(Sampling, NeverChoosesNanOrMinusInfinity) {
  for (const SamplingParams& params : {GreedyParams(), PlainParams(), SamplingParams{}}) {
    EXPECT_EQ(SampleOnce(params, {kNan, -kInf, -3, kNan}), 2);
  }
}

TEST(Sampling, ChoosesTokenZeroWhenNoLogitIsANumber) {
  for (const SamplingParams& params : {GreedyParams(), PlainParams(), SamplingParams{}}) {
    EXPECT_EQ(SampleOnce(params, {kNan, kNan}), 0);
    EXPECT_EQ(SampleOnce(params, {-kInf, -kInf, kNan}), 0);
  }
}

TEST(Sampling, TakesAnInfiniteLogitForCertain) {
  for (const SamplingParams& params : {GreedyParams(), PlainParams(), SamplingParams{}}) {
    EXPECT_EQ(SampleOnce(params, {100, kInf, 1e30F}), 1);
  }
}

TEST(RepetitionPenalty, LowersPositiveAndNegativeLogits) {
  SamplingParams params = GreedyParams();
  params.repetition_penalty = 1.5F;
  EXPECT_EQ(SampleOnce(params, {2, 1.9F}, {0}), 1);        // 2 / 1.5 < 1.9
  EXPECT_EQ(SampleOnce(params, {-1, -1.2F}, {0}), 1);      // -1 * 1.5 < -1.2
  EXPECT_EQ(SampleOnce(params, {2, 1.9F}, {0, 1}), 0);     // both
  EXPECT_EQ(SampleOnce(params, {2, 1.2F}, {0}), 0);        // 1.33 > 1.2
  EXPECT_EQ(SampleOnce(params, {2, 1.2F}, {0, 0, 0}), 0);  // once, however often it occurred
}

TEST(RepetitionPenalty, LooksAtTheWindowOnly) {
  SamplingParams params = GreedyParams();
  params.repetition_penalty = 1.5F;
  params.repetition_window = 2;
  EXPECT_EQ(SampleOnce(params, {2, 1.9F, 0}, {0, 2, 2}), 0);
  EXPECT_EQ(SampleOnce(params, {2, 1.9F, 0}, {2, 0, 2}), 1);
  params.repetition_window = 0;
  EXPECT_EQ(SampleOnce(params, {2, 1.9F, 0}, {0}), 0);
}

TEST(RepetitionPenalty, IgnoresIdsOutsideTheVocabulary) {
  SamplingParams params = GreedyParams();
  params.repetition_penalty = 2;
  EXPECT_EQ(SampleOnce(params, {2, 1.9F}, {-1, 2, 1 << 30, 0}), 1);
}

TEST(TopK, KeepsTheBest) {
  SamplingParams params = PlainParams();
  params.temperature = 100;  // nearly uniform
  params.top_k = 1;
  EXPECT_EQ(Reached(params), (Tokens{1}));
  params.top_k = 3;
  EXPECT_EQ(Reached(params), (Tokens{0, 1, 3}));
  params.top_k = 4;
  EXPECT_EQ(Reached(params), (Tokens{0, 1, 2, 3}));
  params.top_k = 1000;
  EXPECT_EQ(Reached(params), (Tokens{0, 1, 2, 3}));
}

TEST(TopP, KeepsTheFewestThatReachTheShare) {
  SamplingParams params = PlainParams();
  params.top_p = 0.45F;
  EXPECT_EQ(Reached(params), (Tokens{1}));
  params.top_p = 0.75F;  // 0.5 is not enough
  EXPECT_EQ(Reached(params), (Tokens{1, 3}));
  params.top_p = 0.9F;
  EXPECT_EQ(Reached(params), (Tokens{0, 1, 3}));
}

TEST(TopP, SeesTheProbabilitiesAtTemperatureOne) {
  SamplingParams params = PlainParams();
  params.temperature = 100;
  params.top_p = 0.75F;
  EXPECT_EQ(Reached(params), (Tokens{1, 3}));
}

TEST(TopP, CountsShareAmongWhatTopKLeft) {
  SamplingParams params = PlainParams();
  params.top_k = 2;  // 0.5 and 0.3: 62.5% and 37.5%
  params.top_p = 0.6F;
  EXPECT_EQ(Reached(params), (Tokens{1}));
}

TEST(MinP, KeepsWhatIsNearTheBest) {
  SamplingParams params = PlainParams();
  params.min_p = 0.4F;  // of 0.5
  EXPECT_EQ(Reached(params), (Tokens{1, 3}));
  params.min_p = 0.2F;
  EXPECT_EQ(Reached(params), (Tokens{0, 1, 3}));
  params.min_p = 1;
  EXPECT_EQ(Reached(params), (Tokens{1}));
}

// Pearson's statistic of 100,000 draws against expected probabilities; 3 degrees of freedom.
double ChiSquare(const SamplingParams& params, const std::array<double, 4>& expected) {
  constexpr int kDraws = 100000;
  Sampler sampler(params);
  std::array<int, 4> counts{};
  for (int i = 0; i < kDraws; ++i) {
    std::vector<float> logits = Logits();
    ++counts[sampler.Sample(logits, {})];
  }
  double sum = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    const double mean = expected[i] * kDraws;
    sum += (counts[i] - mean) * (counts[i] - mean) / mean;
  }
  return sum;
}

constexpr double kChiSquareOfOneInAThousand = 16.27;

TEST(Draw, FollowsTheProbabilities) {
  EXPECT_LT(ChiSquare(PlainParams(), kProbabilities), kChiSquareOfOneInAThousand);
}

TEST(Draw, SharpensBelowTemperatureOneAndFlattensAbove) {
  for (const double temperature : {0.5, 2.0}) {
    std::array<double, 4> expected = kProbabilities;
    double sum = 0;
    for (double& p : expected) sum += p = std::pow(p, 1 / temperature);
    for (double& p : expected) p /= sum;
    SamplingParams params = PlainParams();
    params.temperature = static_cast<float>(temperature);
    EXPECT_LT(ChiSquare(params, expected), kChiSquareOfOneInAThousand) << temperature;
    EXPECT_GT(ChiSquare(params, kProbabilities), 1000) << temperature;
  }
}

TEST(Draw, IsGreedyInTheLimitOfTemperature) {
  SamplingParams params = PlainParams();
  params.temperature = std::numeric_limits<float>::denorm_min();
  EXPECT_EQ(Reached(params), (Tokens{1}));
}

std::vector<TokenId> FirstTokens(const SamplingParams& params) {
  Sampler sampler(params);
  std::vector<TokenId> tokens;
  for (int i = 0; i < 16; ++i) {
    std::vector<float> logits = Logits();
    tokens.push_back(sampler.Sample(logits, tokens));
  }
  return tokens;
}

TEST(Seed, GivesTheSameTokensAgainAndOthersForAnother) {
  SamplingParams params = PlainParams();
  const auto first = FirstTokens(params);
  EXPECT_EQ(FirstTokens(params), first);
  params.seed = 8;
  EXPECT_NE(FirstTokens(params), first);
}

TEST(Seed, GivesTheTokensThatItGivesEverywhere) {
  // From an independent program.
  EXPECT_EQ(FirstTokens(PlainParams()),
            (std::vector<TokenId>{3, 1, 3, 3, 3, 3, 0, 0, 1, 1, 1, 3, 3, 3, 1, 1}));
  SamplingParams params;  // every step at work
  params.seed = 42;
  params.top_p = 0.9F;
  params.repetition_penalty = 1.1F;
  EXPECT_EQ(FirstTokens(params),
            (std::vector<TokenId>{1, 1, 3, 0, 0, 3, 3, 3, 3, 3, 3, 1, 3, 1, 3, 0}));
}

TEST(Sampling, DoesNotDependOnHowALargeVocabularyIsSelected) {
  // top-p over everything and top-k of everything that top-p would keep are the same choice.
  std::vector<float> logits(50000);
  for (size_t i = 0; i < logits.size(); ++i) {
    logits[i] = -static_cast<float>((i * 7919) % logits.size()) / 100;
  }
  SamplingParams all = PlainParams();
  all.top_p = 0.9F;
  SamplingParams few = all;
  few.top_k = 5000;  // holds all but e^-50 of the probability
  Sampler sample_all(all);
  Sampler sample_few(few);
  for (int i = 0; i < 50; ++i) {
    std::vector<float> first = logits;
    std::vector<float> second = logits;
    EXPECT_EQ(sample_all.Sample(first, {}), sample_few.Sample(second, {}));
  }
}

TEST(SamplingParamsCheck, NamesTheParameterThatIsOutOfRange) {
  EXPECT_TRUE(CheckSamplingParams(SamplingParams{}));
  EXPECT_TRUE(CheckSamplingParams(GreedyParams()));
  const auto expect_refused = [](SamplingParams params, std::string_view name) {
    const auto result = CheckSamplingParams(params);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code(), ErrorCode::kInvalidArgument);
    EXPECT_NE(result.error().ToString().find(name), std::string::npos);
  };
  SamplingParams params;
  params.temperature = kNan;
  expect_refused(params, "temperature");
  params = {};
  params.top_p = 0;
  expect_refused(params, "top-p");
  params.top_p = 1.5F;
  expect_refused(params, "top-p");
  params = {};
  params.min_p = -0.1F;
  expect_refused(params, "min-p");
  params = {};
  params.repetition_penalty = 0;
  expect_refused(params, "repetition penalty");
}

}  // namespace
}  // namespace gguf_shard
