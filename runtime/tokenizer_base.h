// What both tokenizers share: special tokens, BOS and EOS, decoding. The derived class encodes
// ordinary text only.
//
// Invariant: vocab_ and rules_ never change after construction, so everything is thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "runtime/special_tokens.h"
#include "runtime/tokenizer.h"
#include "runtime/tokenizer_rules.h"
#include "runtime/tokenizer_vocab.h"

namespace gguf_shard {

// The longest text that Encode takes: offsets within it are 32-bit.
inline constexpr size_t kMaxEncodeBytes = size_t{1} << 30;

class TokenizerBase : public Tokenizer {
 public:
  TokenizerBase(const TokenizerBase&) = delete;
  TokenizerBase& operator=(const TokenizerBase&) = delete;

  Result<std::vector<TokenId>> Encode(std::string_view text,
                                      const EncodeOptions& options) const override;
  std::string TokenBytes(TokenId id, bool render_special) const override;
  std::string Decode(std::span<const TokenId> ids, bool render_special) const override;

  size_t vocab_size() const override { return vocab_.size(); }
  TokenId bos() const override { return rules_.bos; }
  TokenId eos() const override { return rules_.eos; }
  bool IsEndOfGeneration(TokenId id) const override;
  size_t memory_bytes() const override;

 protected:
  TokenizerBase(TokenVocab vocab, TokenizerRules rules);

  // Appends the tokens of text without special tokens; never empty. `after_special`: the text
  // follows a special token or nothing.
  virtual Result<void> EncodeText(std::string_view text, bool after_special,
                                  std::vector<TokenId>& ids) const = 0;

  const TokenVocab& vocab() const { return vocab_; }
  const TokenizerRules& rules() const { return rules_; }

 private:
  void AppendTokenBytes(TokenId id, bool render_special, std::string& bytes) const;

  TokenVocab vocab_;
  TokenizerRules rules_;
  SpecialTokens special_tokens_;  // points at vocab_
};

}  // namespace gguf_shard
