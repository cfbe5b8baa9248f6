// SentencePiece BPE ("llama"): the pair of neighbours whose union is the token of highest score
// merges first, the leftmost among equals; a character that is no token becomes its bytes' <0xXX>
// tokens, or the unknown token (one for a run of them) where the vocabulary has none.
// Immutable; thread-safe.
#pragma once

#include <memory>

#include "core/gguf.h"
#include "runtime/tokenizer_base.h"
#include "runtime/tokenizer_merge.h"

namespace gguf_shard {

class SpmTokenizer final : public TokenizerBase {
 public:
  static Result<std::unique_ptr<Tokenizer>> Create(const GgufHeader& header);

 protected:
  Result<void> EncodeText(std::string_view text, bool after_special,
                          std::vector<TokenId>& ids) const override;

 private:
  SpmTokenizer(TokenVocab vocab, TokenizerRules rules);

  // Merges a stretch that no token crosses the ends of.
  void EncodeStretch(std::string_view stretch, SymbolMerger& merger,
                     std::vector<TokenId>& ids) const;
  void AppendBytes(std::string_view bytes, std::vector<TokenId>& ids) const;

  // No token has a space behind anything but a space. Then words, each with the spaces before it,
  // are merged one by one with the same result, faster and in little memory.
  bool words_are_independent_;
};

}  // namespace gguf_shard
