// SentencePiece BPE on small vocabularies.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <random>

#include "tests/runtime/tokenizer_fixture.h"

namespace gguf_shard {
namespace {

constexpr TokenId kUnknown = 0;
constexpr TokenId kBos = 1;
constexpr TokenId kEos = 2;
constexpr TokenId kFirstByte = 3;
constexpr TokenId kFirstPiece = kFirstByte + 256;
constexpr const char* kSpmSpace = "\xE2\x96\x81";

// <unk>, <s>, </s>, the byte tokens, then `pieces` with scores -1, -2, ...: earlier ones merge
// first.
std::vector<VocabEntry> SpmVocab(const std::vector<std::string>& pieces, bool with_bytes = true) {
  std::vector<VocabEntry> vocab = {
      {"<unk>", kUnknownType}, {"<s>", kControlType}, {"</s>", kControlType}};
  for (int byte = 0; byte < 256 && with_bytes; ++byte) {
    vocab.push_back({fmt::format("<0x{:02X}>", byte), kByteType});
  }
  for (size_t i = 0; i < pieces.size(); ++i) {
    vocab.push_back({pieces[i], kNormalType, -1.0F - static_cast<float>(i)});
  }
  return vocab;
}

std::string Spaced(std::string text) {
  for (size_t at = text.find('_'); at != std::string::npos; at = text.find('_')) {
    text.replace(at, 1, kSpmSpace);
  }
  return text;
}

// Pieces written with '_' for the space mark.
std::vector<std::string> Pieces(std::vector<std::string> texts) {
  for (std::string& text : texts) text = Spaced(text);
  return texts;
}

std::unique_ptr<Tokenizer> Make(const std::vector<VocabEntry>& vocab) {
  auto tokenizer = MakeTokenizer(VocabWriter("llama", vocab));
  EXPECT_TRUE(tokenizer) << tokenizer.error().ToString();
  return tokenizer ? std::move(*tokenizer) : nullptr;
}

TokenId Piece(size_t index) { return kFirstPiece + static_cast<TokenId>(index); }
TokenId Byte(uint8_t byte) { return kFirstByte + byte; }

TEST(SpmTokenizer, MergesTheHighestScoreFirst) {
  // "bc" scores above "ab": a|bc, though "ab" comes first in the text.
  const auto tokenizer = Make(SpmVocab(Pieces({"bc", "ab", "_", "a", "b", "c"})));
  EXPECT_EQ(EncodePlain(*tokenizer, "abc"), (Ids{Piece(2), Piece(3), Piece(0)}));
}

TEST(SpmTokenizer, MergesTheLeftmostAmongEqualScores) {
  const auto tokenizer = Make(SpmVocab(Pieces({"aa", "_", "a"})));
  EXPECT_EQ(EncodePlain(*tokenizer, "aaa"), (Ids{Piece(1), Piece(0), Piece(2)}));
}

TEST(SpmTokenizer, ReachesLongTokensThroughShorterOnes) {
  const auto tokenizer = Make(SpmVocab(Pieces({"lo", "low", "_low", "_", "l", "o", "w"})));
  EXPECT_EQ(EncodePlain(*tokenizer, "low"), (Ids{Piece(2)}));
  EXPECT_EQ(EncodePlain(*tokenizer, "lowlow"), (Ids{Piece(2), Piece(1)}));
}

TEST(SpmTokenizer, PutsASpaceBeforeTextUnlessToldNotTo) {
  const auto vocab = SpmVocab(Pieces({"_a", "_", "a"}));
  EXPECT_EQ(EncodePlain(*Make(vocab), "a"), (Ids{Piece(0)}));
  GgufWriter writer = VocabWriter("llama", vocab);
  writer.AddBool("tokenizer.ggml.add_space_prefix", false);
  const auto bare = MakeTokenizer(writer);
  ASSERT_TRUE(bare);
  EXPECT_EQ(EncodePlain(**bare, "a"), (Ids{Piece(2)}));
}

TEST(SpmTokenizer, PutsASpaceBehindEachSpecialToken) {
  const auto tokenizer = Make(SpmVocab(Pieces({"_a", "_", "a"})));
  EXPECT_EQ(Encode(*tokenizer, "a</s>a<s></s>a", false, true),
            (Ids{Piece(0), kEos, Piece(0), kBos, kEos, Piece(0)}));
}

TEST(SpmTokenizer, EncodesNothingAsNothing) {
  const auto tokenizer = Make(SpmVocab(Pieces({"_", "a"})));
  EXPECT_EQ(EncodePlain(*tokenizer, ""), (Ids{}));
  EXPECT_EQ(Encode(*tokenizer, "", true, true), (Ids{kBos}));
}

TEST(SpmTokenizer, FallsBackToBytes) {
  const auto tokenizer = Make(SpmVocab(Pieces({"_", "a"})));
  EXPECT_EQ(EncodePlain(*tokenizer, "a\xC3\xA9"),
            (Ids{Piece(0), Piece(1), Byte(0xC3), Byte(0xA9)}));
}

TEST(SpmTokenizer, TakesInvalidUtf8ByBytes) {
  const auto tokenizer = Make(SpmVocab(Pieces({"_", "a"})));
  EXPECT_EQ(EncodePlain(*tokenizer,
                        "\xFF"
                        "a\xE2\x82"),
            (Ids{Piece(0), Byte(0xFF), Piece(1), Byte(0xE2), Byte(0x82)}));
}

TEST(SpmTokenizer, WithoutByteTokensGivesOneUnknownForARun) {
  const auto tokenizer = Make(SpmVocab(Pieces({"_", "a"}), false));
  EXPECT_EQ(EncodePlain(*tokenizer,
                        "\xC3\xA9\xE2\x82\xAC"
                        "a\xC3\xA9"),
            (Ids{3, kUnknown, 4, kUnknown}));
}

TEST(SpmTokenizer, TakesTheSpaceMarkItselfForASpace) {
  const auto tokenizer = Make(SpmVocab(Pieces({"_a", "_", "a"})));
  EXPECT_EQ(EncodePlain(*tokenizer, Spaced("a_a")), EncodePlain(*tokenizer, "a a"));
}

TEST(SpmTokenizer, NeverSpellsAControlToken) {
  const auto tokenizer = Make(SpmVocab(Pieces({"<s", "s>", "_", "<", "s", ">"})));
  EXPECT_EQ(EncodePlain(*tokenizer, "<s>"), (Ids{Piece(2), Piece(0), Piece(5)}));
}

TEST(SpmTokenizer, DecodesAWholeTextWithoutItsPrefixAndAContinuationWithIt) {
  const auto tokenizer = Make(SpmVocab(Pieces({"_a", "_", "a"})));
  EXPECT_EQ(tokenizer->Decode(Ids{kBos, Piece(0), Piece(0)}, false), "a a");
  EXPECT_EQ(tokenizer->Decode(Ids{Piece(0), Piece(0)}, false), " a a");
  EXPECT_EQ(tokenizer->Decode(Ids{kBos}, false), "");
  EXPECT_EQ(tokenizer->Decode(Ids{}, false), "");
  EXPECT_EQ(tokenizer->Decode(Ids{kBos, Piece(0), kEos}, true), "a</s>");
  EXPECT_EQ(tokenizer->Decode(Ids{kBos, Piece(0), kEos, kUnknown}, false), "a");
}

TEST(SpmTokenizer, GivesNothingForIdsThatDoNotExist) {
  const auto tokenizer = Make(SpmVocab(Pieces({"_", "a"})));
  EXPECT_EQ(tokenizer->TokenBytes(-1, true), "");
  EXPECT_EQ(tokenizer->TokenBytes(Piece(2), true), "");
  EXPECT_EQ(tokenizer->TokenBytes(std::numeric_limits<TokenId>::max(), true), "");
  EXPECT_FALSE(tokenizer->IsEndOfGeneration(-1));
}

TEST(SpmTokenizer, ReadsVocabulariesWithoutTypesAndScores) {
  GgufWriter writer;
  writer.AddString("tokenizer.ggml.model", "llama");
  std::vector<std::string> texts;
  for (const VocabEntry& entry : SpmVocab(Pieces({"_a", "_", "a"}))) texts.push_back(entry.text);
  writer.AddStrings("tokenizer.ggml.tokens", texts);
  const auto tokenizer = MakeTokenizer(writer);
  ASSERT_TRUE(tokenizer) << tokenizer.error().ToString();
  EXPECT_EQ(Encode(**tokenizer, "a\xC3\xA9", true, true),
            (Ids{kBos, Piece(0), Byte(0xC3), Byte(0xA9)}));
}

TEST(SpmTokenizer, PutsNanScoresLast) {
  auto vocab = SpmVocab(Pieces({"ab", "bc", "_", "a", "b", "c"}));
  vocab[static_cast<size_t>(Piece(0))].score = std::numeric_limits<float>::quiet_NaN();
  const auto tokenizer = Make(vocab);
  EXPECT_EQ(EncodePlain(*tokenizer, "abc"), (Ids{Piece(2), Piece(3), Piece(1)}));
}

// The definition, word for word: find the best pair of the whole text, merge it, start over.
std::vector<std::string> NaiveMerge(std::string_view text,
                                    const std::map<std::string, float>& scores) {
  std::vector<std::string> symbols;
  for (const char c : text) symbols.emplace_back(1, c);
  while (true) {
    size_t best = symbols.size();
    float best_score = 0;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto found = scores.find(symbols[i] + symbols[i + 1]);
      if (found == scores.end()) continue;
      if (best == symbols.size() || found->second > best_score) {
        best = i;
        best_score = found->second;
      }
    }
    if (best == symbols.size()) return symbols;
    symbols[best] += symbols[best + 1];
    symbols.erase(symbols.begin() + static_cast<ptrdiff_t>(best) + 1);
  }
}

// Random pieces over " abc"; with `inner_spaces`, some have a space behind a letter, so words can
// not be merged one by one.
void CompareWithDefinition(bool inner_spaces, uint32_t seed) {
  std::mt19937 random(seed);
  const auto pick = [&](size_t below) { return random() % below; };
  std::map<std::string, float> scores;
  for (const char* letter : {" ", "a", "b", "c"}) scores[letter] = -100;
  for (int i = 0; i < 40; ++i) {
    std::string piece;
    for (size_t length = 2 + pick(4); length > 0; --length) piece += " abc"[pick(4)];
    const size_t letter = piece.find_first_not_of(' ');
    const bool inner = letter != std::string::npos && piece.find(' ', letter) != std::string::npos;
    if (inner && !inner_spaces) continue;
    scores[piece] = -static_cast<float>(pick(12));
  }
  auto vocab = SpmVocab({});
  std::map<std::string, TokenId> ids;
  for (const auto& [piece, score] : scores) {
    ids[piece] = static_cast<TokenId>(vocab.size());
    std::string spelled = piece;
    for (char& c : spelled) c = c == ' ' ? '_' : c;
    vocab.push_back({Spaced(spelled), kNormalType, score});
  }
  const auto tokenizer = Make(vocab);
  for (int i = 0; i < 30; ++i) {
    std::string text;
    for (size_t length = pick(60); length > 0; --length) text += "  abcabc"[pick(8)];
    Ids expected;
    if (!text.empty()) {
      for (const std::string& symbol : NaiveMerge(" " + text, scores)) {
        expected.push_back(ids.at(symbol));
      }
    }
    EXPECT_EQ(EncodePlain(*tokenizer, text), expected) << '"' << text << '"';
  }
}

TEST(SpmTokenizer, AgreesWithItsDefinitionOnRandomVocabularies) {
  for (uint32_t seed = 0; seed < 40; ++seed) {
    CompareWithDefinition(false, seed);
    CompareWithDefinition(true, seed);
  }
}

TEST(SpmTokenizer, EncodesALongTextWithoutSpacesInOneGo) {
  const auto tokenizer = Make(SpmVocab(Pieces({"ab", "abab", "abababab", "_", "a", "b"})));
  std::string text;
  for (int i = 0; i < 100000; ++i) text += "ab";
  const Ids ids = EncodePlain(*tokenizer, text);
  ASSERT_EQ(ids.size(), 25001U);  // the space, then "abababab"
  EXPECT_EQ(ids[1], Piece(2));
  EXPECT_EQ(ids.back(), Piece(2));
}

}  // namespace
}  // namespace gguf_shard
