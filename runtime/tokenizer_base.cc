#include "runtime/tokenizer_base.h"

#include <algorithm>
#include <utility>

namespace gguf_shard {

TokenizerBase::TokenizerBase(TokenVocab vocab, TokenizerRules rules)
    : vocab_(std::move(vocab)), rules_(std::move(rules)), special_tokens_(vocab_, rules_) {}

Result<std::vector<TokenId>> TokenizerBase::Encode(std::string_view text,
                                                   const EncodeOptions& options) const {
  if (text.size() > kMaxEncodeBytes) {
    return Fail(Error(ErrorCode::kTooLarge, "The text to tokenize is too long")
                    .Expected(uint64_t{kMaxEncodeBytes})
                    .Found(uint64_t{text.size()}));
  }
  std::vector<TokenId> ids;
  if (options.add_bos && rules_.add_bos) ids.push_back(rules_.bos);
  bool after_special = true;
  for (const TextFragment& fragment : special_tokens_.Split(text, options.parse_special)) {
    if (fragment.token != kNoToken) {
      ids.push_back(fragment.token);
    } else {
      GS_TRY(EncodeText(fragment.text, after_special, ids));
    }
    after_special = fragment.token != kNoToken;
  }
  if (options.add_bos && rules_.add_eos) ids.push_back(rules_.eos);
  return ids;
}

void TokenizerBase::AppendTokenBytes(TokenId id, bool render_special, std::string& bytes) const {
  if (!vocab_.Contains(id)) return;
  switch (vocab_.type(id)) {
    case TokenType::kNormal:
    case TokenType::kUserDefined:
    case TokenType::kByte:
      bytes.append(vocab_.bytes(id));
      break;
    case TokenType::kControl:
    case TokenType::kUnknown:
      if (render_special) bytes.append(vocab_.bytes(id));
      break;
    case TokenType::kUnused:
      break;
  }
}

std::string TokenizerBase::TokenBytes(TokenId id, bool render_special) const {
  std::string bytes;
  AppendTokenBytes(id, render_special, bytes);
  return bytes;
}

std::string TokenizerBase::Decode(std::span<const TokenId> ids, bool render_special) const {
  const bool whole_text = !ids.empty() && rules_.bos != kNoToken && ids.front() == rules_.bos;
  if (whole_text) ids = ids.subspan(1);
  std::string bytes;
  for (const TokenId id : ids) AppendTokenBytes(id, render_special, bytes);
  if (whole_text && rules_.add_space_prefix && bytes.starts_with(' ')) bytes.erase(0, 1);
  return bytes;
}

bool TokenizerBase::IsEndOfGeneration(TokenId id) const {
  return std::binary_search(rules_.end_of_generation.begin(), rules_.end_of_generation.end(), id);
}

size_t TokenizerBase::memory_bytes() const {
  return vocab_.memory_bytes() + special_tokens_.memory_bytes() +
         rules_.end_of_generation.capacity() * sizeof(TokenId);
}

}  // namespace gguf_shard
