// The prompts and answers of the models: what an independent engine tokenized and printed.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/file.h"
#include "tests/runtime/tokenizer_fixture.h"
#include "tests/support/testdata.h"

namespace gguf_shard {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxGoldenBytes = 64 << 20;

void CheckCase(const Tokenizer& tokenizer, const nlohmann::json& golden) {
  const std::string prompt = golden.at("prompt");
  EXPECT_EQ(Encode(tokenizer, prompt, true, true), golden.at("tokens").get<Ids>()) << prompt;
  const Ids greedy = golden.at("greedy");
  EXPECT_EQ(tokenizer.Decode(greedy, false), golden.at("text").get<std::string>()) << prompt;
  Utf8Stream stream;
  std::string streamed;
  for (const TokenId id : greedy) streamed += stream.Push(tokenizer.TokenBytes(id, false));
  EXPECT_EQ(streamed + stream.Finish(), golden.at("text").get<std::string>()) << prompt;
  // The whole text: prompt and answer behind one BOS.
  Ids whole = golden.at("tokens");
  EXPECT_EQ(tokenizer.Decode(whole, false), prompt);
  whole.insert(whole.end(), greedy.begin(), greedy.end());
  EXPECT_EQ(tokenizer.Decode(whole, false), prompt + golden.at("text").get<std::string>());
}

// Every golden file of `golden` with its model in `models`; returns the number of cases.
size_t CheckFolder(const fs::path& golden, const fs::path& models) {
  size_t case_count = 0;
  for (const auto& entry : fs::directory_iterator(golden)) {
    if (entry.path().extension() != ".json") continue;
    const auto text = ReadWholeFile(entry.path(), kMaxGoldenBytes);
    EXPECT_TRUE(text) << text.error().ToString();
    const auto document = nlohmann::json::parse(text ? *text : std::string(), nullptr, false);
    const auto tokenizer = LoadTokenizer(models / (entry.path().stem().string() + ".gguf"));
    if (tokenizer == nullptr || !document.is_object()) {
      ADD_FAILURE() << entry.path();
      continue;
    }
    for (const auto& golden_case : document.at("cases")) {
      CheckCase(*tokenizer, golden_case);
      ++case_count;
    }
  }
  return case_count;
}

TEST(GoldenTokens, OfTheInTreeModelAgree) {
  EXPECT_GE(CheckFolder(InTreeDataDir() / "golden", InTreeDataDir()), 4U);
}

TEST(GoldenTokens, OfTheDemoModelsAgree) {
  GS_REQUIRE_TESTDATA();
  EXPECT_GE(CheckFolder(TestDataDir() / "demo" / "golden", TestDataDir() / "demo"), 16U);
}

TEST(GoldenTokens, OfTheSharedModelsAgree) {
  GS_REQUIRE_TESTDATA();
  EXPECT_GE(CheckFolder(TestDataDir() / "golden", TestDataDir() / "models"), 100U);
}

}  // namespace
}  // namespace gguf_shard
