#include "runtime/tokenizer_vocab.h"

#include <fmt/core.h>

#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

#include "runtime/bpe_tokenizer_alphabet.h"

namespace gguf_shard {
namespace {

constexpr std::string_view kKeyTokens = "tokenizer.ggml.tokens";
constexpr std::string_view kKeyTypes = "tokenizer.ggml.token_type";
constexpr std::string_view kKeyScores = "tokenizer.ggml.scores";
constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581, a space in SentencePiece

Error WrongArray(std::string_view key, std::string_view why) {
  return Error(ErrorCode::kMalformed, fmt::format("The metadata array {} {}", key, why));
}

// The byte that a token written <0xXX> stands for.
std::optional<uint8_t> ParseByteToken(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return std::nullopt;
  uint8_t byte = 0;
  const auto [end, error] = std::from_chars(text.data() + 3, text.data() + 5, byte, 16);
  if (error != std::errc() || end != text.data() + 5) return std::nullopt;
  return byte;
}

TokenType TypeOf(int64_t stored) {
  return stored >= 1 && stored <= 6 ? static_cast<TokenType>(stored) : TokenType::kUnused;
}

bool IsText(TokenType type) { return type == TokenType::kNormal || type == TokenType::kUnused; }

}  // namespace

void AppendMarksAsSpaces(std::string_view text, std::string& bytes) {
  for (size_t mark = text.find(kSpaceMark); mark != std::string_view::npos;
       mark = text.find(kSpaceMark)) {
    bytes.append(text.substr(0, mark)).push_back(' ');
    text.remove_prefix(mark + kSpaceMark.size());
  }
  bytes.append(text);
}

Result<TokenVocab> TokenVocab::Read(const GgufHeader& header, VocabForm form) {
  GS_ASSIGN(const GgufArray tokens, header.GetArray(kKeyTokens));
  const auto texts = tokens.Strings();
  if (!texts) return Fail(WrongArray(kKeyTokens, "does not hold strings"));
  if (texts->empty()) return Fail(WrongArray(kKeyTokens, "is empty"));
  if (texts->size() >= static_cast<size_t>(std::numeric_limits<TokenId>::max())) {
    return Fail(Error(ErrorCode::kTooLarge, "The vocabulary has too many tokens")
                    .Found(uint64_t{texts->size()}));
  }
  TokenVocab vocab;
  GS_TRY(vocab.ReadTypes(header, texts->size()));
  const bool typed = header.Find(kKeyTypes) != nullptr;
  if (form == VocabForm::kSentencePiece) GS_TRY(vocab.ReadScores(header, texts->size()));
  vocab.StoreTokens(*texts, form, typed);
  vocab.IndexTexts();
  return vocab;
}

Result<void> TokenVocab::ReadTypes(const GgufHeader& header, size_t token_count) {
  types_.assign(token_count, TokenType::kNormal);
  if (header.Find(kKeyTypes) == nullptr) return {};
  GS_ASSIGN(const GgufArray array, header.GetArray(kKeyTypes));
  const auto values = array.Ints();
  if (!values) return Fail(WrongArray(kKeyTypes, "does not hold integers"));
  if (values->size() < token_count) {
    return Fail(WrongArray(kKeyTypes, "is shorter than the vocabulary")
                    .Expected(uint64_t{token_count})
                    .Found(uint64_t{values->size()}));
  }
  for (size_t id = 0; id < token_count; ++id) types_[id] = TypeOf((*values)[id]);
  return {};
}

Result<void> TokenVocab::ReadScores(const GgufHeader& header, size_t token_count) {
  if (header.Find(kKeyScores) == nullptr) return {};
  GS_ASSIGN(const GgufArray array, header.GetArray(kKeyScores));
  auto values = array.Floats();
  if (!values) return Fail(WrongArray(kKeyScores, "does not hold numbers"));
  if (values->size() < token_count) {
    return Fail(WrongArray(kKeyScores, "is shorter than the vocabulary")
                    .Expected(uint64_t{token_count})
                    .Found(uint64_t{values->size()}));
  }
  scores_ = std::move(*values);
  scores_.resize(token_count);
  scores_.shrink_to_fit();
  // A NaN would have no place in the order of merges.
  for (float& score : scores_) {
    if (std::isnan(score)) score = -std::numeric_limits<float>::infinity();
  }
  return {};
}

void TokenVocab::StoreTokens(const std::vector<std::string_view>& texts, VocabForm form,
                             bool typed) {
  size_t text_bytes = 0;  // below 2^30: the header that held them is
  for (const std::string_view text : texts) text_bytes += text.size();
  arena_.reserve(text_bytes);
  offsets_.reserve(texts.size() + 1);
  offsets_.push_back(0);
  for (const std::string_view text : texts) StoreToken(text, form, typed);
  arena_.shrink_to_fit();
}

void TokenVocab::StoreToken(std::string_view text, VocabForm form, bool typed) {
  const size_t id = offsets_.size() - 1;
  // Vocabularies of the first GGUF files have no types; their byte tokens are known by their form.
  const bool may_be_byte =
      types_[id] == TokenType::kByte || (!typed && form == VocabForm::kSentencePiece);
  const auto byte = may_be_byte ? ParseByteToken(text) : std::nullopt;
  if (byte) {
    types_[id] = TokenType::kByte;
    if (byte_tokens_[*byte] == kNoToken) byte_tokens_[*byte] = static_cast<TokenId>(id);
    arena_.push_back(static_cast<char>(*byte));
  } else if (!IsText(types_[id])) {
    arena_.append(text);
  } else if (form == VocabForm::kSentencePiece) {
    AppendMarksAsSpaces(text, arena_);
  } else {
    AppendByteLevelDecoded(text, arena_);
  }
  offsets_.push_back(static_cast<uint32_t>(arena_.size()));
}

void TokenVocab::IndexTexts() {
  text_index_.Reset(size());
  for (TokenId id = 0; Contains(id); ++id) {
    const std::string_view text = bytes(id);
    if (!IsText(type(id)) || text.empty() || FindText(text) != kNoToken) continue;
    text_index_.Insert(HashBytes(text), static_cast<uint32_t>(id));
  }
}

TokenId TokenVocab::FindText(std::string_view text) const {
  const uint32_t found = text_index_.Find(HashBytes(text), [&](uint32_t position) {
    return bytes(static_cast<TokenId>(position)) == text;
  });
  if (found == PositionIndex::kNone) return kNoToken;
  const auto id = static_cast<TokenId>(found);
  return IsText(type(id)) ? id : kNoToken;
}

size_t TokenVocab::memory_bytes() const {
  return sizeof(*this) + arena_.capacity() + offsets_.capacity() * sizeof(uint32_t) +
         types_.capacity() * sizeof(TokenType) + scores_.capacity() * sizeof(float) +
         text_index_.memory_bytes();
}

}  // namespace gguf_shard
