#include "atlas/simulation.h"

#include <gtest/gtest.h>

#include "atlas/cache_policy.h"
#include "core/page.h"

namespace gguf_shard {
namespace {

constexpr uint32_t kPagesPerPiece = kMinPieceBytes / kPageBytes;

// One piece per shard; every pass is one token.
Trace MakeTrace(uint32_t scheduled, uint32_t on_demand,
                const std::vector<std::vector<uint32_t>>& passes) {
  Trace trace;
  for (uint32_t i = 0; i < scheduled + on_demand; ++i) {
    trace.shards.push_back({kPagesPerPiece, i < scheduled});
  }
  for (const auto& uses : passes) {
    trace.passes.push_back({1, trace.uses.size()});
    trace.uses.insert(trace.uses.end(), uses.begin(), uses.end());
  }
  return trace;
}

uint64_t PiecesRead(const Trace& trace, SimulatedPolicy policy, uint64_t budget_pieces) {
  const auto run = Simulate(trace, policy, budget_pieces * kMinPieceBytes);
  EXPECT_TRUE(run);
  return run->all.read_bytes / kMinPieceBytes;
}

TEST(Simulation, PlainLruNeverHitsACycleThatIsLargerThanItself) {
  const Trace trace = MakeTrace(4, 0, std::vector(10, std::vector<uint32_t>{0, 1, 2, 3}));
  EXPECT_EQ(PiecesRead(trace, SimulatedPolicy::kPlainLru, 3), 40u);
  EXPECT_EQ(PiecesRead(trace, SimulatedPolicy::kPlainLru, 4), 4u);
}

TEST(Simulation, AtlasAndOptimumKeepAPartOfACycle) {
  const Trace trace = MakeTrace(4, 0, std::vector(10, std::vector<uint32_t>{0, 1, 2, 3}));
  // Four reads at first, then two of four in each of the nine other passes. The pool also has to
  // hold the ring.
  EXPECT_EQ(PiecesRead(trace, SimulatedPolicy::kLru, 3), 4u + 9 * 2);
  EXPECT_EQ(PiecesRead(trace, SimulatedPolicy::kOptimum, 2), 4u + 9 * 2);
}

TEST(Simulation, OptimumIsBeladys) {
  // The example of the textbooks: three frames, nine faults; one less when what is used last may
  // pass by (page 4 does).
  const Trace trace =
      MakeTrace(0, 8, {{7, 0, 1, 2, 0, 3, 0, 4, 2, 3, 0, 3, 2, 1, 2, 0, 1, 7, 0, 1}});
  EXPECT_EQ(PiecesRead(trace, SimulatedPolicy::kOptimum, 3), 8u);
  EXPECT_EQ(PiecesRead(trace, SimulatedPolicy::kPlainLru, 3), 12u);
  EXPECT_EQ(PiecesRead(trace, SimulatedPolicy::kLru, 3), 12u);
}

TEST(Simulation, FrequencyKeepsWhatComesAgainAndAgain) {
  // Two favourites in every pass, and a stranger that does not come back soon.
  std::vector<std::vector<uint32_t>> passes;
  for (uint32_t pass = 0; pass < 60; ++pass)
    passes.push_back({0, 2 + pass % 6, 1, 2 + (pass + 3) % 6});
  const Trace trace = MakeTrace(0, 8, passes);
  const uint64_t lru = PiecesRead(trace, SimulatedPolicy::kLru, 3);
  const uint64_t frequency = PiecesRead(trace, SimulatedPolicy::kFrequency, 3);
  const uint64_t optimum = PiecesRead(trace, SimulatedPolicy::kOptimum, 3);
  EXPECT_LE(optimum, frequency);
  EXPECT_LT(2 * (frequency - optimum), lru - optimum) << "more than half of the gap";
}

TEST(Simulation, PromptsFillTheCacheAndAreNotCounted) {
  Trace trace = MakeTrace(0, 2, {{0, 1}, {0, 1}});
  trace.passes[0].token_count = 30;
  const auto run = Simulate(trace, SimulatedPolicy::kLru, 2 * kMinPieceBytes);
  ASSERT_TRUE(run);
  EXPECT_EQ(run->pass_count, 1u);
  EXPECT_EQ(run->all.hit_ratio(), 1.0);
  EXPECT_EQ(run->bytes_per_pass(), 0.0);
  trace.passes[1].token_count = 30;
  EXPECT_EQ(Simulate(trace, SimulatedPolicy::kLru, 2 * kMinPieceBytes)->pass_count, 2u);
}

TEST(Simulation, NothingFitsAndEverythingFits) {
  const Trace trace = MakeTrace(2, 2, {{0, 2, 1, 3}, {0, 2, 1, 3}});
  EXPECT_EQ(UsedShardBytes(trace), 4 * kMinPieceBytes);
  for (const SimulatedPolicy policy : kSimulatedPolicies) {
    EXPECT_EQ(PiecesRead(trace, policy, 0), 8u) << SimulatedPolicyName(policy);
    EXPECT_EQ(PiecesRead(trace, policy, 4), 4u) << SimulatedPolicyName(policy);
  }
}

TEST(Simulation, TraceOfImpossibleLengthIsRefused) {
  Trace trace = MakeTrace(0, 1, {{0}});
  trace.shards[0].page_count = ~uint32_t{0};
  trace.uses.assign(100000, 0);
  const auto run = Simulate(trace, SimulatedPolicy::kOptimum, kMinPieceBytes);
  ASSERT_FALSE(run);
  EXPECT_EQ(run.error().code(), ErrorCode::kTooLarge);
}

TEST(CachePolicy, NamesAreKnownAndOthersAreNot) {
  EXPECT_EQ(*CachePolicyFromName("lru"), CachePolicy::kLru);
  EXPECT_EQ(*CachePolicyFromName("frequency"), CachePolicy::kFrequency);
  const auto unknown = CachePolicyFromName("clock");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code(), ErrorCode::kUnsupported);
  for (const SimulatedPolicy policy : kSimulatedPolicies) {
    EXPECT_EQ(SimulatedPolicyFromName(SimulatedPolicyName(policy)), policy);
  }
}

TEST(UseRanks, LruRanksByTheLastUse) {
  UseRanks ranks(CachePolicy::kLru, 2);
  for (const uint32_t key : {0, 0, 0, 1}) ranks.NoteUse(key, 0);
  EXPECT_LT(ranks.RankOf(0), ranks.RankOf(1));
}

TEST(UseRanks, FrequencyRanksByUsesAndForgets) {
  UseRanks ranks(CachePolicy::kFrequency, 3);
  for (const uint32_t key : {0, 0, 0, 1}) ranks.NoteUse(key, 0);
  EXPECT_GT(ranks.RankOf(0), ranks.RankOf(1));
  EXPECT_LT(ranks.RankOf(2), ranks.RankOf(1)) << "never used";
  ranks.NoteUse(1, kHalfLifePasses / 2);
  EXPECT_GT(ranks.RankOf(0), ranks.RankOf(1)) << "three old uses are worth more than two";
  ranks.NoteUse(1, 2 * kHalfLifePasses);
  EXPECT_GT(ranks.RankOf(1), ranks.RankOf(0));
}

}  // namespace
}  // namespace gguf_shard
