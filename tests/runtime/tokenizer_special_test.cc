// Special tokens written in the text.
#include <gtest/gtest.h>

#include "tests/runtime/tokenizer_fixture.h"

namespace gguf_shard {
namespace {

// No space prefix, so that fragments show as they are.
const std::vector<VocabEntry> kSpecialVocab = {
    {"a"},
    {"b"},
    {"\xE2\x96\x81"},
    {"<|x|>", kControlType},
    {"<|x|>y", kControlType},
    {"<tool>", kUserDefinedType},
    {"<tool>s", kControlType},
    {"<unk>", kUnknownType},
    {"<"},
    {">"},
    {"", kControlType},
};
constexpr TokenId kA = 0, kB = 1, kSpace = 2, kX = 3, kXy = 4, kTool = 5, kTools = 6, kUnk = 7;

std::unique_ptr<Tokenizer> Make(std::string_view architecture = "llama") {
  GgufWriter writer = VocabWriter("llama", kSpecialVocab);
  writer.AddString("general.architecture", architecture);
  writer.AddBool("tokenizer.ggml.add_space_prefix", false);
  writer.AddUint32("tokenizer.ggml.unknown_token_id", kUnk);
  auto tokenizer = MakeTokenizer(writer);
  EXPECT_TRUE(tokenizer) << tokenizer.error().ToString();
  return tokenizer ? std::move(*tokenizer) : nullptr;
}

Ids Parsed(const Tokenizer& tokenizer, std::string_view text) {
  return Encode(tokenizer, text, false, true);
}

TEST(SpecialTokens, AreFoundAnywhereInTheText) {
  const auto tokenizer = Make();
  EXPECT_EQ(Parsed(*tokenizer, "<|x|>"), (Ids{kX}));
  EXPECT_EQ(Parsed(*tokenizer, "a<|x|>b"), (Ids{kA, kX, kB}));
  EXPECT_EQ(Parsed(*tokenizer, "<|x|><|x|>a"), (Ids{kX, kX, kA}));
  EXPECT_EQ(Parsed(*tokenizer, "<unk>a"), (Ids{kUnk, kA}));
}

TEST(SpecialTokens, WinByLength) {
  const auto tokenizer = Make();
  EXPECT_EQ(Parsed(*tokenizer, "<|x|>y"), (Ids{kXy}));
  EXPECT_EQ(Parsed(*tokenizer, "<|x|>a"), (Ids{kX, kA}));
  EXPECT_EQ(Parsed(*tokenizer, "<tool>sa"), (Ids{kTools, kA}));
}

TEST(SpecialTokens, AreTextUntilTheyAreWhole) {
  const auto tokenizer = Make();
  EXPECT_EQ(Parsed(*tokenizer, "<a<"), (Ids{8, kA, 8}));
}

TEST(SpecialTokens, OfTheUserAreFoundEvenWhereControlTokensAreNot) {
  const auto tokenizer = Make();
  EXPECT_EQ(EncodePlain(*tokenizer, "a<tool>b"), (Ids{kA, kTool, kB}));
  // The longer control token does not hide the user's.
  EXPECT_EQ(EncodePlain(*tokenizer, "<tool>s"), (Ids{kTool, kUnk}));
  const Ids ids = EncodePlain(*tokenizer, "<|x|>");
  EXPECT_EQ(std::count(ids.begin(), ids.end(), kX), 0);
}

TEST(SpecialTokens, KeepTheWhiteSpaceAroundThem) {
  const auto tokenizer = Make();
  EXPECT_EQ(Parsed(*tokenizer, "a <|x|> b"), (Ids{kA, kSpace, kX, kSpace, kB}));
}

TEST(SpecialTokens, OfPhi3SwallowTheWhiteSpaceBehindThem) {
  const auto tokenizer = Make("phi3");
  EXPECT_EQ(Parsed(*tokenizer, "a <|x|> \n\t b"), (Ids{kA, kSpace, kX, kB}));
  EXPECT_EQ(Parsed(*tokenizer, "<|x|>  "), (Ids{kX}));
  EXPECT_EQ(Parsed(*tokenizer, "<|x|> <|x|>"), (Ids{kX, kX}));
  EXPECT_EQ(Parsed(*tokenizer, "<unk> a"), (Ids{kUnk, kSpace, kA}));
}

TEST(SpecialTokens, ShowTheirTextOnlyWhenAsked) {
  const auto tokenizer = Make();
  EXPECT_EQ(tokenizer->Decode(Ids{kA, kX, kTool, kB}, false), "a<tool>b");
  EXPECT_EQ(tokenizer->Decode(Ids{kA, kX, kTool, kB}, true), "a<|x|><tool>b");
}

}  // namespace
}  // namespace gguf_shard
