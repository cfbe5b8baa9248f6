// Small vocabularies for the tokenizer tests, built in memory, and real ones from the shared test
// data. Thread-safety: none needed, tests run on one thread.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/gguf.h"
#include "core/gguf_model.h"
#include "core/gguf_writer.h"
#include "runtime/tokenizer.h"

namespace gguf_shard {

using Ids = std::vector<TokenId>;

// As in tokenizer.ggml.token_type.
inline constexpr int32_t kNormalType = 1;
inline constexpr int32_t kUnknownType = 2;
inline constexpr int32_t kControlType = 3;
inline constexpr int32_t kUserDefinedType = 4;
inline constexpr int32_t kUnusedType = 5;
inline constexpr int32_t kByteType = 6;

// One token, its text as a GGUF spells it.
struct VocabEntry {
  std::string text;
  int32_t type = kNormalType;
  float score = 0;
};

// A header without tensors that holds a vocabulary; the test adds what else it needs.
inline GgufWriter VocabWriter(std::string_view model, const std::vector<VocabEntry>& vocab) {
  std::vector<std::string> texts;
  std::vector<int32_t> types;
  std::vector<float> scores;
  for (const VocabEntry& entry : vocab) {
    texts.push_back(entry.text);
    types.push_back(entry.type);
    scores.push_back(entry.score);
  }
  GgufWriter writer;
  writer.AddString("tokenizer.ggml.model", model);
  writer.AddStrings("tokenizer.ggml.tokens", texts);
  writer.AddInt32s("tokenizer.ggml.token_type", types);
  if (model == "llama") writer.AddFloats("tokenizer.ggml.scores", scores);
  return writer;
}

inline Result<std::unique_ptr<Tokenizer>> MakeTokenizer(const GgufWriter& writer) {
  const std::vector<std::byte> bytes = writer.Serialize();
  GS_ASSIGN(const GgufHeader header, ParseGgufHeader(bytes, bytes.size()));
  return Tokenizer::Create(header);
}

// The tokenizer of a GGUF file; nullptr, with a failed expectation, when it does not load.
inline std::unique_ptr<Tokenizer> LoadTokenizer(const std::filesystem::path& path) {
  const auto model = OpenGgufModel(path);
  EXPECT_TRUE(model) << model.error().ToString();
  if (!model) return nullptr;
  auto tokenizer = Tokenizer::Create(model->metadata());
  EXPECT_TRUE(tokenizer) << tokenizer.error().ToString();
  return tokenizer ? std::move(*tokenizer) : nullptr;
}

inline Ids Encode(const Tokenizer& tokenizer, std::string_view text, bool add_bos,
                  bool parse_special) {
  const auto ids = tokenizer.Encode(text, {.add_bos = add_bos, .parse_special = parse_special});
  EXPECT_TRUE(ids) << ids.error().ToString();
  return ids ? *ids : Ids();
}

// Without BOS and without special tokens.
inline Ids EncodePlain(const Tokenizer& tokenizer, std::string_view text) {
  return Encode(tokenizer, text, false, false);
}

}  // namespace gguf_shard
