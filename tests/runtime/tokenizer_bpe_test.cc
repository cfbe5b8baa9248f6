// Byte-level BPE on small vocabularies.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "runtime/bpe_tokenizer_alphabet.h"
#include "tests/runtime/tokenizer_fixture.h"

namespace gguf_shard {
namespace {

const std::string kBpeSpace = "\xC4\xA0";  // U+0120, a space in the alphabet

// A vocabulary of ASCII letters and a few other bytes, and whatever the merges make.
struct Bpe {
  std::vector<VocabEntry> vocab;
  std::vector<std::string> merges;
  std::map<std::string, TokenId> ids;  // by text as spelled

  Bpe() {
    for (const char* text : {"a", "b", "c", "l", "o", "w", "!", "1", "2", "3"}) Add(text);
    Add(kBpeSpace);
  }
  void Add(const std::string& text, int32_t type = kNormalType) {
    ids[text] = static_cast<TokenId>(vocab.size());
    vocab.push_back({text, type});
  }
  void AddMerge(const std::string& left, const std::string& right) {
    merges.push_back(left + " " + right);
    if (!ids.contains(left + right)) Add(left + right);
  }
  GgufWriter Writer(std::string_view pre) const {
    GgufWriter writer = VocabWriter("gpt2", vocab);
    writer.AddStrings("tokenizer.ggml.merges", merges);
    if (!pre.empty()) writer.AddString("tokenizer.ggml.pre", pre);
    return writer;
  }
  std::unique_ptr<Tokenizer> Make(std::string_view pre = "gpt-2") const {
    auto tokenizer = MakeTokenizer(Writer(pre));
    EXPECT_TRUE(tokenizer) << tokenizer.error().ToString();
    return tokenizer ? std::move(*tokenizer) : nullptr;
  }
  Ids Of(const std::vector<std::string>& texts) const {
    Ids result;
    for (const std::string& text : texts) result.push_back(ids.at(text));
    return result;
  }
};

TEST(ByteLevelAlphabet, SpellsEveryByteOnce) {
  std::string bytes;
  AppendByteLevelDecoded("!~\xC2\xA1\xC2\xAC\xC2\xAE\xC3\xBF", bytes);
  EXPECT_EQ(bytes, "!~\xA1\xAC\xAE\xFF");
  bytes.clear();
  // U+0100 is byte 0, U+0120 the space, U+0121 byte 7F, U+0143 byte AD.
  AppendByteLevelDecoded("\xC4\x80\xC4\xA0\xC4\xA1\xC5\x83", bytes);
  EXPECT_EQ(bytes, std::string("\0 \x7F\xAD", 4));
  bytes.clear();
  AppendByteLevelDecoded("\xE2\x96\x81\xC5\x84 \xFF", bytes);  // outside: as they are
  EXPECT_EQ(bytes, "\xE2\x96\x81\xC5\x84 \xFF");
}

TEST(BpeTokenizer, MergesInTheOrderOfTheRules) {
  Bpe bpe;
  bpe.AddMerge("b", "c");
  bpe.AddMerge("a", "b");
  EXPECT_EQ(EncodePlain(*bpe.Make(), "abc"), bpe.Of({"a", "bc"}));
}

TEST(BpeTokenizer, MergesTheLeftmostOfEqualPairs) {
  Bpe bpe;
  bpe.AddMerge("a", "a");
  EXPECT_EQ(EncodePlain(*bpe.Make(), "aaa"), bpe.Of({"aa", "a"}));
}

TEST(BpeTokenizer, NeedsARuleNotOnlyAToken) {
  Bpe bpe;
  bpe.Add("low");
  bpe.AddMerge("l", "o");
  EXPECT_EQ(EncodePlain(*bpe.Make(), "low"), bpe.Of({"lo", "w"}));
}

TEST(BpeTokenizer, TakesAWholePieceThatIsATokenWhereTheModelDoes) {
  Bpe bpe;
  bpe.Add("low");
  bpe.AddMerge("l", "o");
  EXPECT_EQ(EncodePlain(*bpe.Make("llama-bpe"), "low"), bpe.Of({"low"}));
  EXPECT_EQ(EncodePlain(*bpe.Make("llama-bpe"), "lowl"), bpe.Of({"lo", "w", "l"}));
}

TEST(BpeTokenizer, KeepsMergesWithinPieces) {
  Bpe bpe;
  bpe.AddMerge("w", "!");
  bpe.AddMerge(kBpeSpace, "w");
  EXPECT_EQ(EncodePlain(*bpe.Make(), "low! w"), bpe.Of({"l", "o", "w", "!", kBpeSpace + "w"}));
}

TEST(BpeTokenizer, CutsAsItsPreTokenizerSays) {
  Bpe bpe;
  bpe.AddMerge("1", "2");
  bpe.AddMerge("12", "3");
  EXPECT_EQ(EncodePlain(*bpe.Make("gpt-2"), "123"), bpe.Of({"123"}));
  EXPECT_EQ(EncodePlain(*bpe.Make("qwen2"), "123"), bpe.Of({"1", "2", "3"}));
}

TEST(BpeTokenizer, WithoutAPreTokenizerTakesTheDefault) {
  Bpe bpe;
  EXPECT_EQ(EncodePlain(*bpe.Make(""), "a !"), EncodePlain(*bpe.Make("default"), "a !"));
  EXPECT_EQ(EncodePlain(*bpe.Make(""), "a !"), bpe.Of({"a", kBpeSpace, "!"}));
}

TEST(BpeTokenizer, WithAnUnknownPreTokenizerIsUnsupportedByName) {
  const auto tokenizer = MakeTokenizer(Bpe().Writer("tomorrow-9"));
  ASSERT_FALSE(tokenizer);
  EXPECT_EQ(tokenizer.error().code(), ErrorCode::kUnsupported);
  EXPECT_NE(tokenizer.error().ToString().find("tomorrow-9"), std::string::npos);
}

TEST(BpeTokenizer, WithoutMergesIsNotFound) {
  const auto tokenizer = MakeTokenizer(VocabWriter("gpt2", Bpe().vocab));
  ASSERT_FALSE(tokenizer);
  EXPECT_EQ(tokenizer.error().code(), ErrorCode::kNotFound);
  EXPECT_NE(tokenizer.error().ToString().find("tokenizer.ggml.merges"), std::string::npos);
}

TEST(BpeTokenizer, DropsRulesThatCanNotApply) {
  Bpe bpe;
  bpe.merges = {"a", "", "a zz", "zz a", "a b"};  // "ab" is no token
  bpe.AddMerge("b", "c");
  bpe.AddMerge("c", "c");
  bpe.merges.push_back("b c");
  EXPECT_EQ(EncodePlain(*bpe.Make(), "abcc"), bpe.Of({"a", "bc", "c"}));
}

TEST(BpeTokenizer, TakesInvalidUtf8ByBytes) {
  Bpe bpe;
  bpe.Add("\xC3\xBF");  // U+00FF, the byte FF
  bpe.Add("\xC3\x83");  // U+00C3, the byte C3
  bpe.AddMerge("\xC3\xBF", "\xC3\xBF");
  const auto tokenizer = bpe.Make();
  EXPECT_EQ(EncodePlain(*tokenizer,
                        "a\xFF\xFF"
                        "b\xFF\xC3"),
            bpe.Of({"a", "\xC3\xBF\xC3\xBF", "b", "\xC3\xBF", "\xC3\x83"}));
  EXPECT_EQ(tokenizer->Decode(EncodePlain(*tokenizer,
                                          "\xFF"
                                          "a\xC3"),
                              false),
            "\xFF"
            "a\xC3");
}

TEST(BpeTokenizer, GivesTheUnknownTokenForAByteThatTheVocabularyLacks) {
  Bpe bpe;
  EXPECT_EQ(EncodePlain(*bpe.Make(), "a\xFFz"), bpe.Of({"a"}));
  bpe.Add("<unk>", kUnknownType);
  GgufWriter writer = bpe.Writer("gpt-2");
  writer.AddUint32("tokenizer.ggml.unknown_token_id", static_cast<uint32_t>(bpe.ids["<unk>"]));
  const auto tokenizer = MakeTokenizer(writer);
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(EncodePlain(**tokenizer, "a\xFFz"), bpe.Of({"a", "<unk>", "<unk>"}));
}

TEST(BpeTokenizer, AddsBosWhereMetadataOrModelSaySo) {
  Bpe bpe;
  bpe.Add("<s>", kControlType);
  const auto with = [&](std::string_view pre, std::optional<bool> flag) {
    GgufWriter writer = bpe.Writer(pre);
    writer.AddUint32("tokenizer.ggml.bos_token_id", static_cast<uint32_t>(bpe.ids["<s>"]));
    if (flag) writer.AddBool("tokenizer.ggml.add_bos_token", *flag);
    const auto tokenizer = MakeTokenizer(writer);
    EXPECT_TRUE(tokenizer);
    return tokenizer ? Encode(**tokenizer, "a", true, true) : Ids();
  };
  EXPECT_EQ(with("gpt-2", std::nullopt), bpe.Of({"a"}));
  EXPECT_EQ(with("gpt-2", true), bpe.Of({"<s>", "a"}));
  EXPECT_EQ(with("llama-bpe", std::nullopt), bpe.Of({"<s>", "a"}));
  EXPECT_EQ(with("llama-bpe", false), bpe.Of({"a"}));
}

TEST(BpeTokenizer, DecodesTheAlphabetButNotSpecialTokens) {
  Bpe bpe;
  bpe.AddMerge(kBpeSpace, "a");
  bpe.Add(kBpeSpace + "x", kUserDefinedType);
  bpe.Add("[PAD]", kUnusedType);
  const auto tokenizer = bpe.Make();
  EXPECT_EQ(tokenizer->TokenBytes(bpe.ids[kBpeSpace + "a"], false), " a");
  EXPECT_EQ(tokenizer->TokenBytes(bpe.ids[kBpeSpace + "x"], false), kBpeSpace + "x");
  EXPECT_EQ(tokenizer->TokenBytes(bpe.ids["[PAD]"], true), "");
}

// The definition: the earliest rule that applies anywhere, at its leftmost place, until none does.
std::vector<std::string> NaiveMerge(std::string_view text, const std::vector<std::string>& merges) {
  std::vector<std::string> symbols;
  for (const char c : text) symbols.emplace_back(1, c);
  while (true) {
    size_t best = symbols.size();
    size_t best_rank = merges.size();
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const std::string pair = symbols[i] + " " + symbols[i + 1];
      const size_t rank =
          static_cast<size_t>(std::find(merges.begin(), merges.end(), pair) - merges.begin());
      if (rank < best_rank) {
        best = i;
        best_rank = rank;
      }
    }
    if (best == symbols.size()) return symbols;
    symbols[best] += symbols[best + 1];
    symbols.erase(symbols.begin() + static_cast<ptrdiff_t>(best) + 1);
  }
}

TEST(BpeTokenizer, AgreesWithItsDefinitionOnRandomRules) {
  for (uint32_t seed = 0; seed < 40; ++seed) {
    std::mt19937 random(seed);
    Bpe bpe;
    std::vector<std::string> tokens = {"a", "b", "c"};
    for (int i = 0; i < 20; ++i) {
      const std::string left = tokens[random() % tokens.size()];
      const std::string right = tokens[random() % tokens.size()];
      if (left.size() + right.size() > 6) continue;
      bpe.AddMerge(left, right);
      tokens.push_back(left + right);
    }
    const auto tokenizer = bpe.Make();
    for (int i = 0; i < 30; ++i) {
      std::string text;
      for (size_t length = random() % 50; length > 0; --length) text += "abc"[random() % 3];
      EXPECT_EQ(EncodePlain(*tokenizer, text), bpe.Of(NaiveMerge(text, bpe.merges))) << text;
    }
  }
}

TEST(BpeTokenizer, EncodesALongPieceInOneGo) {
  Bpe bpe;
  bpe.AddMerge("a", "b");
  bpe.AddMerge("ab", "ab");
  std::string text;
  for (int i = 0; i < 100000; ++i) text += "ab";
  EXPECT_EQ(EncodePlain(*bpe.Make(), text), Ids(50000, bpe.ids["abab"]));
}

}  // namespace
}  // namespace gguf_shard
