// The pieces that the pre-tokenizers cut texts into.
#include <gtest/gtest.h>

#include <random>

#include "runtime/pretokenizer.h"
#include "runtime/pretokenizer_patterns.h"
#include "runtime/utf8.h"

namespace gguf_shard {
namespace {

using Texts = std::vector<std::string>;

Result<Texts> TrySplit(std::span<const std::string_view> patterns, std::string_view text) {
  GS_ASSIGN(const PreTokenizer pre_tokenizer, PreTokenizer::Create(patterns));
  Texts pieces;
  GS_TRY(pre_tokenizer.Split(text, [&](std::string_view piece) { pieces.emplace_back(piece); }));
  return pieces;
}

Texts SplitBy(std::vector<std::string_view> patterns, std::string_view text) {
  const auto pieces = TrySplit(patterns, text);
  EXPECT_TRUE(pieces) << pieces.error().ToString();
  return pieces ? *pieces : Texts();
}

Texts Split(std::string_view name, std::string_view text) {
  const PreTokenizerSpec* spec = FindPreTokenizer(name);
  if (spec == nullptr) {
    ADD_FAILURE() << name;
    return {};
  }
  return SplitBy({spec->patterns.begin(), spec->patterns.end()}, text);
}

TEST(PreTokenizer, KeepsWhatNoExpressionMatches) {
  EXPECT_EQ(SplitBy({"b+"}, "aabbcbd"), (Texts{"aa", "bb", "c", "b", "d"}));
  EXPECT_EQ(SplitBy({"z"}, "ab"), (Texts{"ab"}));
  EXPECT_EQ(SplitBy({}, "ab"), (Texts{"ab"}));
  EXPECT_EQ(SplitBy({"b"}, ""), (Texts{}));
}

TEST(PreTokenizer, AppliesExpressionsToThePiecesOfThoseBefore) {
  EXPECT_EQ(SplitBy({"[ab]+", "b"}, "xbabx"), (Texts{"x", "b", "a", "b", "x"}));
}

TEST(PreTokenizer, LetsExpressionsSeeOnePieceOnly) {
  // "a" is not at the end of the text, but at the end of its piece.
  EXPECT_EQ(SplitBy({"-", "aa$"}, "aaaa-aa"), (Texts{"aa", "aa", "-", "aa"}));
}

TEST(PreTokenizer, CutsAtEmptyMatches) {
  EXPECT_EQ(SplitBy({"(?=b)"},
                    "\xC3\xA9"
                    "bab"),
            (Texts{"\xC3\xA9", "ba", "b"}));
}

TEST(PreTokenizer, TakesWhiteSpaceAsUnicodeHasIt) {
  const std::string no_break = "\xC2\xA0";
  const std::string next_line = "\xC2\x85";
  const std::string ideographic = "\xE3\x80\x80";
  const std::string mongolian = "\xE1\xA0\x8E";  // U+180E, white space until Unicode 6.3
  for (const std::string& space : {no_break, next_line, ideographic}) {
    EXPECT_EQ(SplitBy({"\\s+"}, "a" + space + "b"), (Texts{"a", space, "b"}));
    EXPECT_EQ(SplitBy({"\\S+"}, "a" + space + "b"), (Texts{"a", space, "b"}));
    EXPECT_EQ(SplitBy({"[^\\s]+"}, "a" + space + "b"), (Texts{"a", space, "b"}));
  }
  EXPECT_EQ(SplitBy({"\\s+"}, "a" + mongolian + "b"), (Texts{"a" + mongolian + "b"}));
  EXPECT_EQ(SplitBy({"\\\\s"}, "a\\sb"), (Texts{"a", "\\s", "b"}));  // a backslash, then an s
}

TEST(PreTokenizer, RefusesAnExpressionThatDoesNotCompile) {
  const std::vector<std::string_view> patterns = {"("};
  const auto pieces = TrySplit(patterns, "a");
  ASSERT_FALSE(pieces);
  EXPECT_EQ(pieces.error().code(), ErrorCode::kMalformed);
}

TEST(PreTokenizer, GivesUpWithAnErrorWhereMatchingNeedsTooMuch) {
  const std::vector<std::string_view> patterns = {"(?:(a|b)|(c))*z"};
  std::string text(size_t{4} << 20, 'a');
  text += "yz";  // the loop takes all of the a's before it fails
  const auto pieces = TrySplit(patterns, text);
  ASSERT_FALSE(pieces);
  EXPECT_EQ(pieces.error().code(), ErrorCode::kTooLarge);
}

TEST(PreTokenizerNamed, Gpt2) {
  EXPECT_EQ(Split("gpt-2", "Hello  world, it's 1234!\n\n x"),
            (Texts{"Hello", " ", " world", ",", " it", "'s", " 1234", "!", "\n\n", " x"}));
  EXPECT_EQ(Split("gpt-2", "I'VE"), (Texts{"I", "'", "VE"}));
  EXPECT_EQ(Split("gpt-2", "a\n b  "), (Texts{"a", "\n", " b", "  "}));
}

TEST(PreTokenizerNamed, LlamaBpe) {
  EXPECT_EQ(Split("llama-bpe", "I'VE 12345 cats?!\n\n  end"),
            (Texts{"I", "'VE", " ", "123", "45", " cats", "?!\n\n", " ", " end"}));
  EXPECT_EQ(Split("llama-bpe", "(word)"), (Texts{"(word", ")"}));
}

TEST(PreTokenizerNamed, Qwen2) {
  EXPECT_EQ(Split("qwen2", "x 123"), (Texts{"x", " ", "1", "2", "3"}));
}

TEST(PreTokenizerNamed, Qwen35KeepsMarksWithTheirLetters) {
  const std::string nasal = "n\xCC\x83";  // n, combining tilde
  EXPECT_EQ(Split("qwen35", nasal + "a"), (Texts{nasal + "a"}));
  EXPECT_EQ(Split("qwen2", nasal + "a"), (Texts{"n",
                                                "\xCC\x83"
                                                "a"}));
}

TEST(PreTokenizerNamed, StarCoderCutsSingleDigitsOut) {
  EXPECT_EQ(Split("starcoder", "a 12 b"), (Texts{"a", " ", "1", "2", " b"}));
}

TEST(PreTokenizerNamed, DeepSeekCoder) {
  EXPECT_EQ(Split("deepseek-coder", "if (x):\n  y12"),
            (Texts{"if", " (", "x", "):", "\n", " ", " y", "1", "2"}));
}

TEST(PreTokenizerNamed, DeepSeekLlm) {
  // Its punctuation runs from ':' to '~' and so takes ASCII letters out of words with others.
  EXPECT_EQ(Split("deepseek-llm", "Hello Caf\xC3\xA9, \xE6\x97\xA5 1  "),
            (Texts{"Hello", " Caf", "\xC3\xA9", ",", " ", "\xE6\x97\xA5", " ", "1", "  "}));
}

TEST(PreTokenizerNamed, DeepSeekV3) {
  EXPECT_EQ(Split("deepseek-v3", "x.y 12345"), (Texts{"x", ".y", " ", "123", "45"}));
}

TEST(PreTokenizerNamed, FalconCutsPunctuationAndDigitsByThree) {
  EXPECT_EQ(Split("falcon", "a,b 12345"), (Texts{"a", ",", "b", " ", "123", "45"}));
}

TEST(PreTokenizerNamed, Gpt4oCutsWordsWhereCaseRises) {
  EXPECT_EQ(Split("gpt-4o", "camelCase HTTPServer's"), (Texts{"camel", "Case", " HTTPServer's"}));
}

TEST(PreTokenizerNamed, TekkenHasNoContractions) {
  EXPECT_EQ(Split("tekken", "it's 12/"), (Texts{"it", "'s", " ", "1", "2", "/"}));
}

TEST(PreTokenizerNamed, KimiKeepsHanApart) {
  EXPECT_EQ(Split("kimi-k2", "abc\xE6\x97\xA5\xE6\x9C\xACxyz"),
            (Texts{"abc", "\xE6\x97\xA5\xE6\x9C\xAC", "xyz"}));
}

TEST(PreTokenizerNamed, BloomKeepsAWordWithItsSpace) {
  EXPECT_EQ(Split("bloom", "Hello big, world."), (Texts{"Hello", " big", ",", " world", "."}));
}

TEST(PreTokenizerNames, UnknownOnesAreNotFound) {
  EXPECT_EQ(FindPreTokenizer("no-such-model"), nullptr);
  EXPECT_EQ(FindPreTokenizer(""), nullptr);
  EXPECT_NE(FindPreTokenizer(kDefaultPreTokenizer), nullptr);
}

TEST(PreTokenizerNames, HaveTheirRules) {
  EXPECT_TRUE(FindPreTokenizer("llama-bpe")->ignores_merges);
  EXPECT_TRUE(FindPreTokenizer("llama-bpe")->adds_bos);
  EXPECT_TRUE(FindPreTokenizer("tekken")->adds_bos);
  EXPECT_FALSE(FindPreTokenizer("qwen2")->ignores_merges);
  EXPECT_FALSE(FindPreTokenizer("gpt-2")->adds_bos);
}

class EveryPreTokenizer : public testing::TestWithParam<std::string_view> {};

// Random characters of many kinds: letters of several scripts, digits, marks, punctuation, spaces.
std::string RandomText(std::mt19937& random) {
  constexpr std::string_view kParts[] = {" ",
                                         "  ",
                                         "\n",
                                         "\r\n",
                                         "\t",
                                         "'s",
                                         "'LL",
                                         "a",
                                         "Bc",
                                         "DE",
                                         "12",
                                         "345",
                                         "!",
                                         "...",
                                         "$",
                                         "/",
                                         "_",
                                         "`",
                                         "\xC3\xA9",  // é
                                         "\xC2\xBD",
                                         "\xD0\x96",
                                         "\xE6\x97\xA5",
                                         "\xE3\x81\x8B",
                                         "\xED\x95\x9C",
                                         "\xE0\xA4\x95",
                                         "\xE0\xA5\x8D",
                                         "\xCC\x81",
                                         "\xF0\x9F\x99\x82",
                                         "\xE2\x80\x9C",
                                         "\xE3\x80\x80",
                                         "\xC2\x85",
                                         "\xE1\xA0\x8E",
                                         "\xE2\x84\xAA"};
  std::string text;
  for (size_t count = random() % 40; count > 0; --count) {
    text += kParts[random() % std::size(kParts)];
  }
  return text;
}

TEST_P(EveryPreTokenizer, CoversTheTextExactlyWithWholeCharacters) {
  const auto patterns = FindPreTokenizer(GetParam())->patterns;
  const auto pre_tokenizer = PreTokenizer::Create(patterns);
  ASSERT_TRUE(pre_tokenizer) << pre_tokenizer.error().ToString();
  std::mt19937 random(11);
  for (int i = 0; i < 100; ++i) {
    const std::string text = RandomText(random);
    std::string together;
    const auto result = pre_tokenizer->Split(text, [&](std::string_view piece) {
      EXPECT_FALSE(piece.empty());
      EXPECT_EQ(Utf8ValidPrefixBytes(piece), piece.size());
      together += piece;
    });
    ASSERT_TRUE(result) << result.error().ToString();
    EXPECT_EQ(together, text);
  }
}

TEST_P(EveryPreTokenizer, CutsLongRunsOfOneKindWithoutGivingUp) {
  const auto patterns = FindPreTokenizer(GetParam())->patterns;
  const auto pre_tokenizer = PreTokenizer::Create(patterns);
  ASSERT_TRUE(pre_tokenizer) << pre_tokenizer.error().ToString();
  constexpr std::string_view kKinds[] = {" ",
                                         "a",
                                         "A",
                                         "1",
                                         "!",
                                         "\n",
                                         "\xE0\xB8\x81",  // Thai
                                         "\xE6\x97\xA5",
                                         "a "};
  for (const std::string_view kind : kKinds) {
    std::string text;
    for (int i = 0; i < 50000; ++i) text += kind;
    text += "1x";
    size_t byte_size = 0;
    const auto result =
        pre_tokenizer->Split(text, [&](std::string_view piece) { byte_size += piece.size(); });
    ASSERT_TRUE(result) << kind << ": " << result.error().ToString();
    EXPECT_EQ(byte_size, text.size());
  }
}

INSTANTIATE_TEST_SUITE_P(Names, EveryPreTokenizer, testing::ValuesIn(PreTokenizerNames()),
                         [](const auto& named) {
                           std::string name(named.param);
                           for (char& c : name) c = std::isalnum(c) != 0 ? c : '_';
                           return name;
                         });

}  // namespace
}  // namespace gguf_shard
