#include "runtime/special_tokens.h"

#include <algorithm>
#include <functional>

namespace gguf_shard {
namespace {

bool IsSpecial(TokenType type) {
  return type == TokenType::kControl || type == TokenType::kUserDefined ||
         type == TokenType::kUnknown;
}

bool IsWhiteSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

}  // namespace

SpecialTokens::SpecialTokens(const TokenVocab& vocab, const TokenizerRules& rules)
    : vocab_(&vocab), strips_after_special_(rules.strips_after_special) {
  for (TokenId id = 0; vocab.Contains(id); ++id) {
    if (IsSpecial(vocab.type(id)) && !vocab.bytes(id).empty()) ids_.push_back(id);
  }
  index_.Reset(ids_.size());
  for (uint32_t position = 0; position < ids_.size(); ++position) {
    const std::string_view text = vocab.bytes(ids_[position]);
    const uint64_t hash = HashBytes(text);
    const auto same_text = [&](uint32_t other) { return vocab.bytes(ids_[other]) == text; };
    if (index_.Find(hash, same_text) != PositionIndex::kNone) continue;  // the lowest id wins
    index_.Insert(hash, position);
    lengths_[static_cast<uint8_t>(text[0])].push_back(static_cast<uint32_t>(text.size()));
  }
  for (std::vector<uint32_t>& lengths : lengths_) {
    std::sort(lengths.begin(), lengths.end(), std::greater<>());
    lengths.erase(std::unique(lengths.begin(), lengths.end()), lengths.end());
    lengths.shrink_to_fit();
  }
}

TokenId SpecialTokens::FindAtStart(std::string_view text, bool parse_control) const {
  for (const uint32_t length : lengths_[static_cast<uint8_t>(text[0])]) {
    if (length > text.size()) continue;
    const std::string_view candidate = text.substr(0, length);
    const uint32_t position = index_.Find(HashBytes(candidate), [&](uint32_t other) {
      return vocab_->bytes(ids_[other]) == candidate;
    });
    if (position == PositionIndex::kNone) continue;
    const TokenId id = ids_[position];
    if (parse_control || vocab_->type(id) == TokenType::kUserDefined) return id;
  }
  return kNoToken;
}

bool SpecialTokens::StripsAfter(TokenId id) const {
  if (!strips_after_special_) return false;
  const std::string_view text = vocab_->bytes(id);
  return text != "<unk>" && text != "<s>" && text != "<|endoftext|>";
}

std::vector<TextFragment> SpecialTokens::Split(std::string_view text, bool parse_control) const {
  std::vector<TextFragment> fragments;
  size_t text_start = 0;
  size_t offset = 0;
  while (offset < text.size()) {
    const TokenId id = FindAtStart(text.substr(offset), parse_control);
    if (id == kNoToken) {
      ++offset;
      continue;
    }
    if (offset > text_start) {
      fragments.push_back({kNoToken, text.substr(text_start, offset - text_start)});
    }
    fragments.push_back({id, {}});
    offset += vocab_->bytes(id).size();
    while (StripsAfter(id) && offset < text.size() && IsWhiteSpace(text[offset])) ++offset;
    text_start = offset;
  }
  if (text_start < text.size()) fragments.push_back({kNoToken, text.substr(text_start)});
  return fragments;
}

size_t SpecialTokens::memory_bytes() const {
  size_t bytes = sizeof(*this) + ids_.capacity() * sizeof(TokenId) + index_.memory_bytes();
  for (const auto& lengths : lengths_) bytes += lengths.capacity() * sizeof(uint32_t);
  return bytes;
}

}  // namespace gguf_shard
