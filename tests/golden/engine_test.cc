// The engine's promises that are not about numbers: errors that name what is wrong, sequences that
// start afresh, cached types that stay close, generation that can be repeated.
#include "runtime/engine.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <numeric>

#include "core/cancel.h"
#include "runtime/generate.h"
#include "tests/golden/golden_file.h"
#include "tests/golden/sharded_model.h"
#include "tests/support/testdata.h"

namespace gguf_shard {
namespace {

class EngineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto sharded = ShardedModel::FromFile(InTreeDataDir() / "tale-Q4_K_M.gguf");
    ASSERT_TRUE(sharded) << sharded.error().ToString();
    sharded_ = std::move(*sharded);
    golden_ = ReadGoldenFile(InTreeDataDir() / "golden/tale-Q4_K_M.json").cases.front();
  }

  std::unique_ptr<Engine> Open(const EngineOptions& options) const {
    auto engine = sharded_->Open(options);
    EXPECT_TRUE(engine) << engine.error().ToString();
    return engine ? std::move(*engine) : nullptr;
  }

  std::unique_ptr<ShardedModel> sharded_;
  GoldenCase golden_;
};

TEST_F(EngineTest, ASequenceInPiecesIsTheSequenceAsAWhole) {
  const auto engine = Open(ExactOptions());
  const auto whole = engine->Evaluate(golden_.tokens);
  ASSERT_TRUE(whole) << whole.error().ToString();
  const std::vector<float> expected(whole->begin(), whole->end());
  EXPECT_EQ(engine->position(), golden_.tokens.size());
  engine->Reset();
  EXPECT_EQ(engine->position(), 0u);
  for (const TokenId token : golden_.tokens) ASSERT_TRUE(engine->Evaluate({&token, 1}));
  engine->Reset();
  const auto tokens = std::span<const TokenId>(golden_.tokens);
  ASSERT_TRUE(engine->Evaluate(tokens.first(2)));
  const auto pieces = engine->Evaluate(tokens.subspan(2));
  ASSERT_TRUE(pieces);
  EXPECT_TRUE(std::equal(pieces->begin(), pieces->end(), expected.begin(), expected.end()));
}

TEST_F(EngineTest, TokensThatDoNotFitTheContextAreRefusedAndTheSequenceStays) {
  EngineOptions options = ExactOptions();
  options.context_length = 4;
  const auto engine = Open(options);
  const std::vector<TokenId> tokens = {1, 2, 3};
  ASSERT_TRUE(engine->Evaluate(tokens));
  const auto refused = engine->Evaluate(tokens);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kTooLarge);
  EXPECT_EQ(engine->position(), 3u);
  EXPECT_TRUE(engine->Evaluate({tokens.data(), 1}));
}

TEST_F(EngineTest, IdsOutsideTheVocabularyAreRefused) {
  const auto engine = Open(ExactOptions());
  for (const TokenId token : {TokenId{-1}, TokenId{1024}, TokenId{1 << 30}}) {
    const auto refused = engine->Evaluate({&token, 1});
    ASSERT_FALSE(refused) << token;
    EXPECT_EQ(refused.error().code(), ErrorCode::kInvalidArgument);
  }
  const auto nothing = engine->Evaluate({});
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().code(), ErrorCode::kInvalidArgument);
}

TEST_F(EngineTest, SmallerCachedTypesStayCloseToF32) {
  const std::pair<KvType, double> limits[] = {{KvType::kF16, 2e-3}, {KvType::kQ8_0, 5e-2}};
  const auto exact_engine = Open(ExactOptions());
  const auto exact = AllLogits(*exact_engine, golden_.tokens);
  ASSERT_TRUE(exact);
  for (const auto& [type, limit] : limits) {
    EngineOptions options = ExactOptions();
    options.kv_type = type;
    const auto engine = Open(options);
    const auto logits = AllLogits(*engine, golden_.tokens);
    ASSERT_TRUE(logits) << logits.error().ToString();
    double sum = 0;
    for (size_t index = 0; index < logits->size(); ++index) {
      sum += std::abs((*logits)[index] - (*exact)[index]);
    }
    EXPECT_GT(sum, 0) << KvTypeName(type);
    EXPECT_LE(sum / static_cast<double>(logits->size()), limit) << KvTypeName(type);
  }
}

TEST_F(EngineTest, AnInterruptionEndsAPassAndGenerationKeepsWhatItHas) {
  const auto engine = Open(ExactOptions());
  RequestCancel();
  const auto cancelled = engine->Evaluate(golden_.tokens);
  ClearCancel();
  ASSERT_FALSE(cancelled);
  EXPECT_EQ(cancelled.error().code(), ErrorCode::kCancelled);
  EXPECT_EQ(engine->position(), 0u);

  size_t seen = 0;
  GenerateOptions options;
  options.max_tokens = 50;
  const auto generation = Generate(*engine, golden_.tokens, options, [&](TokenId) -> Result<void> {
    if (++seen == 3) RequestCancel();
    return {};
  });
  ClearCancel();
  ASSERT_TRUE(generation) << generation.error().ToString();
  EXPECT_EQ(generation->stop_reason, StopReason::kCancelled);
  EXPECT_EQ(generation->tokens.size(), 3u);
}

Result<std::vector<TokenId>> GenerateWith(Engine& engine, std::span<const TokenId> prompt,
                                          const GenerateOptions& options) {
  engine.Reset();
  GS_ASSIGN(const Generation generation,
            Generate(engine, prompt, options, [](TokenId) { return Result<void>(); }));
  return generation.tokens;
}

TEST_F(EngineTest, TheSameSeedGivesTheSameText) {
  const auto engine = Open(ExactOptions());
  GenerateOptions options;
  options.max_tokens = 30;
  options.sampling.temperature = 1.2F;
  options.sampling.seed = 42;
  const auto first = GenerateWith(*engine, golden_.tokens, options);
  ASSERT_TRUE(first) << first.error().ToString();
  EngineOptions other_options = ExactOptions();
  other_options.thread_count = 3;
  other_options.batch_tokens = 2;
  const auto other = Open(other_options);
  const auto second = GenerateWith(*other, golden_.tokens, options);
  ASSERT_TRUE(second);
  EXPECT_EQ(*first, *second);
  options.sampling.seed = 43;
  const auto third = GenerateWith(*engine, golden_.tokens, options);
  ASSERT_TRUE(third);
  EXPECT_NE(*first, *third);
}

TEST_F(EngineTest, GreedyGenerationGivesTheGoldenText) {
  const auto engine = Open(ExactOptions());
  GenerateOptions options;
  options.max_tokens = static_cast<uint32_t>(golden_.greedy.size());
  options.sampling.temperature = 0;
  const auto tokens = GenerateWith(*engine, golden_.tokens, options);
  ASSERT_TRUE(tokens) << tokens.error().ToString();
  EXPECT_EQ(engine->model().tokenizer().Decode(*tokens, false), golden_.text);
}

TEST_F(EngineTest, GenerationStopsAtTheEndOfTheTextAndOfTheContext) {
  const GoldenFile golden = ReadGoldenFile(InTreeDataDir() / "golden/tale-Q4_K_M.json");
  const auto engine = Open(ExactOptions());
  const GoldenCase& ending = golden.cases[1];  // its greedy text ends by itself
  ASSERT_TRUE(engine->model().tokenizer().IsEndOfGeneration(ending.greedy.back()));
  GenerateOptions options;
  options.sampling.temperature = 0;
  const auto none = [](TokenId) { return Result<void>(); };
  const auto ended = Generate(*engine, ending.tokens, options, none);
  ASSERT_TRUE(ended) << ended.error().ToString();
  EXPECT_EQ(ended->stop_reason, StopReason::kEndOfText);
  EXPECT_EQ(ended->tokens.size() + 1, ending.greedy.size());

  EngineOptions short_options = ExactOptions();
  short_options.context_length = 12;
  const auto short_engine = Open(short_options);
  const auto full = Generate(*short_engine, golden_.tokens, options, none);
  ASSERT_TRUE(full) << full.error().ToString();
  EXPECT_EQ(full->stop_reason, StopReason::kContextFull);
  EXPECT_EQ(golden_.tokens.size() + full->tokens.size(), 13u);
}

// Flips one bit of the first page of a tensor.
void DamagePage(const ShardedModel& sharded, const std::string& tensor_name) {
  const auto core = CoreFile::Open(sharded.map_path());
  ASSERT_TRUE(core) << core.error().ToString();
  const MapTensor* tensor = core->map().FindTensor(tensor_name);
  ASSERT_NE(tensor, nullptr);
  const auto offset = static_cast<std::streamoff>(core->page_offset(tensor->first_page) + 100);
  std::fstream file(sharded.core_path(), std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(offset);
  const auto byte = static_cast<char>(file.get() ^ 1);
  file.seekp(offset);
  file.put(byte);
}

TEST_F(EngineTest, ADamagedPageIsNamedAndNeverComputedWith) {
  DamagePage(*sharded_, "blk.2.ffn_up.weight");
  for (const uint64_t pool_bytes : {uint64_t{1} << 20, uint64_t{8} << 20}) {
    EngineOptions options = ExactOptions();
    options.pool_bytes = pool_bytes;
    const auto engine = sharded_->Open(options);
    if (!engine) {  // found while the pool was filled
      EXPECT_EQ(engine.error().code(), ErrorCode::kChecksumMismatch);
      EXPECT_EQ(engine.error().tensor(), "blk.2.ffn_up.weight");
      continue;
    }
    const auto logits = (*engine)->Evaluate(golden_.tokens);
    ASSERT_FALSE(logits);
    EXPECT_EQ(logits.error().code(), ErrorCode::kChecksumMismatch) << logits.error().ToString();
    EXPECT_EQ(logits.error().tensor(), "blk.2.ffn_up.weight");
    EXPECT_TRUE(logits.error().page_index().has_value());
  }
}

TEST_F(EngineTest, ADamagedNormIsNamedWhenTheModelIsLoaded) {
  DamagePage(*sharded_, "blk.1.attn_norm.weight");
  const auto model = Model::Load(sharded_->map_path());
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code(), ErrorCode::kChecksumMismatch) << model.error().ToString();
}

TEST_F(EngineTest, StatisticsAddUp) {
  EngineOptions options = ExactOptions();
  options.pool_bytes = uint64_t{1} << 20;
  const auto engine = Open(options);
  ASSERT_TRUE(engine->Evaluate(golden_.tokens));
  ASSERT_TRUE(engine->Evaluate({golden_.tokens.data(), 1}));
  const auto stats = engine->Stats();
  ASSERT_TRUE(stats) << stats.error().ToString();
  EXPECT_EQ(stats->evaluated_tokens, golden_.tokens.size() + 1);
  EXPECT_EQ(stats->passes, 2u);
  const uint64_t used_pages =
      stats->atlas.page_hits + stats->atlas.prefetch_covered_pages + stats->atlas.stalled_pages;
  EXPECT_GT(used_pages, 0u);
  // Two passes over more pages than the pool holds must read more than the pool.
  EXPECT_GT(stats->atlas.bytes_read, stats->atlas.pool_bytes);
  EXPECT_LE(stats->atlas.peak_pool_bytes, uint64_t{1} << 20);
  EXPECT_GT(stats->process.peak_resident_bytes, 0u);
  EXPECT_GE(stats->process.peak_resident_bytes, stats->process.resident_bytes);
}

}  // namespace
}  // namespace gguf_shard
