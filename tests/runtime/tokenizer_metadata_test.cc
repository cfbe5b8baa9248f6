// What the metadata may say, and what happens when it says nonsense.
#include <gtest/gtest.h>

#include "tests/runtime/tokenizer_fixture.h"

namespace gguf_shard {
namespace {

const std::vector<VocabEntry> kVocab = {
    {"<unk>", kUnknownType}, {"<s>", kControlType},        {"</s>", kControlType},
    {"<|eot_id|>"},          {"<|im_end|>", kControlType}, {"a"},
    {"\xE2\x96\x81"},        {"<tool>", kUserDefinedType}};

GgufWriter SpmWriter() { return VocabWriter("llama", kVocab); }

void ExpectRefused(const GgufWriter& writer, ErrorCode code, std::string_view words) {
  const auto tokenizer = MakeTokenizer(writer);
  ASSERT_FALSE(tokenizer) << words;
  EXPECT_EQ(tokenizer.error().code(), code) << tokenizer.error().ToString();
  EXPECT_NE(tokenizer.error().ToString().find(words), std::string::npos)
      << tokenizer.error().ToString();
}

TEST(TokenizerMetadata, WithoutATokenizerModelIsNotFound) {
  ExpectRefused(GgufWriter(), ErrorCode::kNotFound, "tokenizer.ggml.model");
}

TEST(TokenizerMetadata, OfAnotherModelIsUnsupportedByName) {
  ExpectRefused(VocabWriter("rwkv", kVocab), ErrorCode::kUnsupported, "rwkv");
}

TEST(TokenizerMetadata, WithoutTokensIsNotFound) {
  GgufWriter writer;
  writer.AddString("tokenizer.ggml.model", "llama");
  ExpectRefused(writer, ErrorCode::kNotFound, "tokenizer.ggml.tokens");
}

TEST(TokenizerMetadata, WithTokensThatAreNotStringsIsMalformed) {
  GgufWriter writer;
  writer.AddString("tokenizer.ggml.model", "llama");
  writer.AddInt32s("tokenizer.ggml.tokens", std::vector<int32_t>{1, 2});
  ExpectRefused(writer, ErrorCode::kMalformed, "tokenizer.ggml.tokens");
}

TEST(TokenizerMetadata, WithAnEmptyVocabularyIsMalformed) {
  GgufWriter writer;
  writer.AddString("tokenizer.ggml.model", "llama");
  writer.AddStrings("tokenizer.ggml.tokens", std::vector<std::string>{});
  ExpectRefused(writer, ErrorCode::kMalformed, "is empty");
}

TEST(TokenizerMetadata, WithTooFewTypesOrScoresIsMalformed) {
  for (const bool types_short : {true, false}) {
    GgufWriter writer;
    writer.AddString("tokenizer.ggml.model", "llama");
    writer.AddStrings("tokenizer.ggml.tokens", std::vector<std::string>{"a", "b"});
    writer.AddInt32s("tokenizer.ggml.token_type", std::vector<int32_t>(types_short ? 1 : 2, 1));
    writer.AddFloats("tokenizer.ggml.scores", std::vector<float>(types_short ? 2 : 1, 0));
    ExpectRefused(writer, ErrorCode::kMalformed,
                  types_short ? "tokenizer.ggml.token_type" : "tokenizer.ggml.scores");
  }
}

TEST(TokenizerMetadata, WithASpecialTokenOutsideTheVocabularyIsMalformed) {
  for (const char* key : {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id",
                          "tokenizer.ggml.unknown_token_id", "tokenizer.ggml.eot_token_id",
                          "tokenizer.ggml.eom_token_id"}) {
    GgufWriter writer = SpmWriter();
    writer.AddUint32(key, static_cast<uint32_t>(kVocab.size()));
    ExpectRefused(writer, ErrorCode::kMalformed, key);
  }
}

TEST(TokenizerMetadata, WithAFlagThatIsNoBooleanIsMalformed) {
  GgufWriter writer = SpmWriter();
  writer.AddString("tokenizer.ggml.add_bos_token", "yes");
  ExpectRefused(writer, ErrorCode::kMalformed, "tokenizer.ggml.add_bos_token");
}

TEST(TokenizerMetadata, OfSentencePieceAddsBosByDefault) {
  const auto tokenizer = MakeTokenizer(SpmWriter());
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ((*tokenizer)->bos(), 1);
  EXPECT_EQ((*tokenizer)->eos(), 2);
  EXPECT_EQ(Encode(**tokenizer, "a", true, true), (Ids{1, 6, 5}));
  EXPECT_EQ(Encode(**tokenizer, "a", false, true), (Ids{6, 5}));
}

TEST(TokenizerMetadata, CanTurnBosOffAndEosOn) {
  GgufWriter writer = SpmWriter();
  writer.AddBool("tokenizer.ggml.add_bos_token", false);
  writer.AddBool("tokenizer.ggml.add_eos_token", true);
  const auto tokenizer = MakeTokenizer(writer);
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(Encode(**tokenizer, "a", true, true), (Ids{6, 5, 2}));
  EXPECT_EQ(Encode(**tokenizer, "a", false, true), (Ids{6, 5}));
}

TEST(TokenizerMetadata, CanSayThatThereIsNoBos) {
  GgufWriter writer = SpmWriter();
  writer.AddUint32("tokenizer.ggml.bos_token_id", UINT32_MAX);
  const auto tokenizer = MakeTokenizer(writer);
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ((*tokenizer)->bos(), -1);
  EXPECT_EQ(Encode(**tokenizer, "a", true, true), (Ids{6, 5}));
}

TEST(EndOfGeneration, IsEosEotEomAndTheWellKnownTexts) {
  GgufWriter writer = SpmWriter();
  writer.AddUint32("tokenizer.ggml.eos_token_id", 2);
  writer.AddUint32("tokenizer.ggml.eot_token_id", 5);
  writer.AddUint32("tokenizer.ggml.eom_token_id", 6);
  const auto tokenizer = MakeTokenizer(writer);
  ASSERT_TRUE(tokenizer);
  Ids ends;
  for (TokenId id = 0; id < static_cast<TokenId>(kVocab.size()); ++id) {
    if ((*tokenizer)->IsEndOfGeneration(id)) ends.push_back(id);
  }
  EXPECT_EQ(ends, (Ids{2, 3, 4, 5, 6}));
}

TEST(EndOfGeneration, TextsAreControlTokensWhateverTheirType) {
  const auto tokenizer = MakeTokenizer(SpmWriter());
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ((*tokenizer)->TokenBytes(3, false), "");
  EXPECT_EQ((*tokenizer)->TokenBytes(3, true), "<|eot_id|>");
  EXPECT_EQ(Encode(**tokenizer, "<|eot_id|>", false, true), (Ids{3}));
}

TEST(EndOfGeneration, LeavesOutTheEndOfAMessageWhereReturnEndsTheAnswer) {
  const std::vector<VocabEntry> with_end = {
      {"a"}, {"<|end|>", kControlType}, {"<|return|>", kControlType}};
  auto with_call = with_end;
  with_call.push_back({"<|call|>", kControlType});
  const auto ordinary = MakeTokenizer(VocabWriter("llama", with_end));
  const auto harmony = MakeTokenizer(VocabWriter("llama", with_call));
  ASSERT_TRUE(ordinary && harmony);
  EXPECT_TRUE((*ordinary)->IsEndOfGeneration(1));
  EXPECT_FALSE((*harmony)->IsEndOfGeneration(1));
  EXPECT_TRUE((*harmony)->IsEndOfGeneration(2));
  EXPECT_TRUE((*harmony)->IsEndOfGeneration(3));
}

}  // namespace
}  // namespace gguf_shard
