#include "runtime/utf8.h"

#include <gtest/gtest.h>

#include <string>

#include "runtime/tokenizer.h"

namespace gguf_shard {
namespace {

constexpr std::string_view kMixed =
    "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z";  // a, é, €, a smile, z
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

void ExpectStep(std::string_view text, Utf8Kind kind, uint32_t byte_size) {
  const Utf8Step step = NextUtf8(text);
  EXPECT_EQ(step.kind, kind) << testing::PrintToString(text);
  EXPECT_EQ(step.byte_size, byte_size) << testing::PrintToString(text);
}

TEST(NextUtf8, TakesCharactersOfOneToFourBytes) {
  ExpectStep("ab", Utf8Kind::kCharacter, 1);
  ExpectStep(std::string_view("\0b", 2), Utf8Kind::kCharacter, 1);
  ExpectStep("\xC2\x80", Utf8Kind::kCharacter, 2);
  ExpectStep("\xDF\xBF", Utf8Kind::kCharacter, 2);
  ExpectStep("\xE0\xA0\x80", Utf8Kind::kCharacter, 3);
  ExpectStep("\xED\x9F\xBF", Utf8Kind::kCharacter, 3);
  ExpectStep("\xEF\xBF\xBF", Utf8Kind::kCharacter, 3);
  ExpectStep("\xF0\x90\x80\x80", Utf8Kind::kCharacter, 4);
  ExpectStep("\xF4\x8F\xBF\xBF", Utf8Kind::kCharacter, 4);
}

TEST(NextUtf8, RefusesWhatUnicodeForbids) {
  ExpectStep("\x80", Utf8Kind::kInvalid, 1);              // a continuation without a lead
  ExpectStep("\xC0\x80", Utf8Kind::kInvalid, 1);          // overlong
  ExpectStep("\xC1\xBF", Utf8Kind::kInvalid, 1);          // overlong
  ExpectStep("\xE0\x9F\xBF", Utf8Kind::kInvalid, 1);      // overlong
  ExpectStep("\xF0\x8F\xBF\xBF", Utf8Kind::kInvalid, 1);  // overlong
  ExpectStep("\xED\xA0\x80", Utf8Kind::kInvalid, 1);      // a surrogate
  ExpectStep("\xF4\x90\x80\x80", Utf8Kind::kInvalid, 1);  // above U+10FFFF
  ExpectStep("\xF5\x80\x80\x80", Utf8Kind::kInvalid, 1);
  ExpectStep("\xFF", Utf8Kind::kInvalid, 1);
}

TEST(NextUtf8, CountsTheBytesOfABrokenCharacterTogether) {
  ExpectStep("\xE2\x82z", Utf8Kind::kInvalid, 2);
  ExpectStep("\xF0\x9F\x98z", Utf8Kind::kInvalid, 3);
}

TEST(NextUtf8, TellsTheEndOfTheTextFromABreak) {
  ExpectStep("\xC3", Utf8Kind::kIncomplete, 1);
  ExpectStep("\xE2\x82", Utf8Kind::kIncomplete, 2);
  ExpectStep("\xF0\x9F\x98", Utf8Kind::kIncomplete, 3);
}

TEST(Utf8Prefix, DividesATextIntoWellFormedAndOtherBytes) {
  const std::string_view text =
      "ok\xC3\xA9\xFF\x80"
      "end\xE2\x82";
  EXPECT_EQ(Utf8ValidPrefixBytes(text), 4U);
  EXPECT_EQ(Utf8InvalidPrefixBytes(text), 0U);
  EXPECT_EQ(Utf8InvalidPrefixBytes(text.substr(4)), 2U);
  EXPECT_EQ(Utf8ValidPrefixBytes(text.substr(6)), 3U);
  EXPECT_EQ(Utf8InvalidPrefixBytes(text.substr(9)), 2U);
  EXPECT_EQ(Utf8ValidPrefixBytes(""), 0U);
}

TEST(Utf8Stream, HandsOutWholeCharactersHoweverTheBytesArrive) {
  for (size_t first = 0; first <= kMixed.size(); ++first) {
    for (size_t second = first; second <= kMixed.size(); ++second) {
      Utf8Stream stream;
      std::string out;
      for (const std::string_view part :
           {kMixed.substr(0, first), kMixed.substr(first, second - first), kMixed.substr(second)}) {
        const std::string characters = stream.Push(part);
        EXPECT_EQ(Utf8ValidPrefixBytes(characters), characters.size());
        out += characters;
      }
      EXPECT_EQ(out, kMixed);
      EXPECT_EQ(stream.Finish(), "");
    }
  }
}

TEST(Utf8Stream, HoldsBackAnUnfinishedCharacter) {
  Utf8Stream stream;
  EXPECT_EQ(stream.Push("a\xF0\x9F"), "a");
  EXPECT_EQ(stream.Push("\x98"), "");
  EXPECT_EQ(stream.Push("\x80!"), "\xF0\x9F\x98\x80!");
}

TEST(Utf8Stream, ReplacesWhatCanNotBecomeACharacter) {
  Utf8Stream stream;
  EXPECT_EQ(stream.Push("a\xFF"
                        "b\xE2\x82"
                        "c"),
            "a" + std::string(kReplacement) + "b" + std::string(kReplacement) + "c");
  EXPECT_EQ(stream.Finish(), "");
}

TEST(Utf8Stream, ReplacesAnUnfinishedCharacterAtTheEndOnce) {
  Utf8Stream stream;
  EXPECT_EQ(stream.Push("a\xF0\x9F\x98"), "a");
  EXPECT_EQ(stream.Finish(), kReplacement);
  EXPECT_EQ(stream.Finish(), "");
}

}  // namespace
}  // namespace gguf_shard
