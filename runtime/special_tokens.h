// Cuts text at the special tokens written in it: <|im_start|>, </s>, and the like.
//
// The text is scanned once, from left to right; where several tokens begin, the longest wins.
// User-defined tokens are always recognised; control and unknown ones only when asked for, so that
// a user's text can be kept from speaking for the system. Immutable; thread-safe.
#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "runtime/tokenizer_index.h"
#include "runtime/tokenizer_rules.h"
#include "runtime/tokenizer_vocab.h"

namespace gguf_shard {

// A stretch of ordinary text (token == kNoToken), or one special token.
struct TextFragment {
  TokenId token;
  std::string_view text;
};

class SpecialTokens {
 public:
  // `vocab` must outlive this.
  SpecialTokens(const TokenVocab& vocab, const TokenizerRules& rules);

  // The fragments of `text` in order; those of ordinary text are not empty.
  std::vector<TextFragment> Split(std::string_view text, bool parse_control) const;

  size_t memory_bytes() const;

 private:
  // The longest token that `text` begins with, or kNoToken.
  TokenId FindAtStart(std::string_view text, bool parse_control) const;
  bool StripsAfter(TokenId id) const;

  const TokenVocab* vocab_;
  bool strips_after_special_;
  std::vector<TokenId> ids_;
  PositionIndex index_;  // into ids_, by text
  // The lengths of the tokens that begin with a byte, descending: few, so each is tried.
  std::array<std::vector<uint32_t>, 256> lengths_;
};

}  // namespace gguf_shard
