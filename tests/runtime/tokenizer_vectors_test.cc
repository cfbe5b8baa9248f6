// Real vocabularies against the ids that their models' own tokenizers give.
#include <gtest/gtest.h>

#include <sstream>

#include "core/file.h"
#include "core/gguf_model.h"
#include "tests/runtime/tokenizer_fixture.h"
#include "tests/support/testdata.h"

namespace gguf_shard {
namespace {

constexpr uint64_t kMaxVectorBytes = 1 << 20;

std::vector<std::string> ReadTexts(const std::filesystem::path& path) {
  const auto file = ReadWholeFile(path, kMaxVectorBytes);
  EXPECT_TRUE(file) << path;
  std::vector<std::string> texts;
  std::string_view rest = file ? std::string_view(*file) : std::string_view();
  constexpr std::string_view kSeparator = "\n__ggml_vocab_test__\n";
  while (!rest.empty()) {
    const size_t end = std::min(rest.find(kSeparator), rest.size());
    texts.emplace_back(rest.substr(0, end));
    rest.remove_prefix(std::min(rest.size(), end + kSeparator.size()));
  }
  return texts;
}

std::vector<std::vector<TokenId>> ReadIds(const std::filesystem::path& path) {
  const auto file = ReadWholeFile(path, kMaxVectorBytes);
  EXPECT_TRUE(file) << path;
  std::vector<std::vector<TokenId>> lines;
  std::istringstream stream(file ? *file : std::string());
  for (std::string line; std::getline(stream, line);) {
    std::istringstream ids(line);
    lines.emplace_back();
    for (TokenId id = 0; ids >> id;) lines.back().push_back(id);
  }
  return lines;
}

class VocabVectors : public testing::TestWithParam<const char*> {
 protected:
  std::filesystem::path Path(const char* suffix) const {
    return TestDataDir() / "vocab" / (std::string(GetParam()) + suffix);
  }
};

TEST_P(VocabVectors, EncodesEveryTextAsItsModelDoes) {
  GS_REQUIRE_TESTDATA();
  const auto tokenizer = LoadTokenizer(Path(".gguf"));
  ASSERT_NE(tokenizer, nullptr);
  const auto texts = ReadTexts(Path(".gguf.inp"));
  const auto expected = ReadIds(Path(".gguf.out"));
  ASSERT_EQ(texts.size(), expected.size());
  ASSERT_GE(texts.size(), 40U);
  for (size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(EncodePlain(*tokenizer, texts[i]), expected[i]) << "text " << i << ": " << texts[i];
  }
}

TEST_P(VocabVectors, DecodesWhatItEncoded) {
  GS_REQUIRE_TESTDATA();
  const auto tokenizer = LoadTokenizer(Path(".gguf"));
  ASSERT_NE(tokenizer, nullptr);
  for (const std::string& text : ReadTexts(Path(".gguf.inp"))) {
    auto ids = EncodePlain(*tokenizer, text);
    ids.insert(ids.begin(), tokenizer->bos());  // a whole text begins with BOS
    if (tokenizer->bos() < 0) ids.erase(ids.begin());
    EXPECT_EQ(tokenizer->Decode(ids, false), text);
  }
}

TEST_P(VocabVectors, TakesLittleMoreMemoryThanItsText) {
  GS_REQUIRE_TESTDATA();
  const auto tokenizer = LoadTokenizer(Path(".gguf"));
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_LT(tokenizer->memory_bytes(), std::filesystem::file_size(Path(".gguf")) * 3 / 2);
  RecordProperty("memory_bytes", std::to_string(tokenizer->memory_bytes()));
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, VocabVectors,
                         testing::Values("gpt-2", "llama-bpe", "qwen2", "deepseek-coder", "falcon",
                                         "llama-spm", "phi-3"),
                         [](const auto& vocabulary) {
                           std::string name = vocabulary.param;
                           std::erase(name, '-');
                           return name;
                         });

TEST(VocabOfAnotherFamily, IsRefusedByName) {
  GS_REQUIRE_TESTDATA();
  const auto model = OpenGgufModel(TestDataDir() / "vocab" / "bert-bge.gguf");
  ASSERT_TRUE(model) << model.error().ToString();
  const auto tokenizer = Tokenizer::Create(model->metadata());
  ASSERT_FALSE(tokenizer);
  EXPECT_EQ(tokenizer.error().code(), ErrorCode::kUnsupported);
  EXPECT_NE(tokenizer.error().ToString().find("\"bert\""), std::string::npos);
}

}  // namespace
}  // namespace gguf_shard
