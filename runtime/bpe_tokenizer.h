// Byte-level BPE ("gpt2"): the pre-tokenizer cuts the text into pieces, each piece's bytes merge in
// the order of the merge rules. Bytes that are not UTF-8 skip the pre-tokenizer and are pieces of
// their own. A byte that the vocabulary lacks becomes the unknown token, or nothing where there is
// none, as in other engines. Immutable; thread-safe.
#pragma once

#include <array>
#include <memory>

#include "core/gguf.h"
#include "runtime/bpe_tokenizer_merges.h"
#include "runtime/pretokenizer.h"
#include "runtime/tokenizer_base.h"

namespace gguf_shard {

class BpeTokenizer final : public TokenizerBase {
 public:
  static Result<std::unique_ptr<Tokenizer>> Create(const GgufHeader& header);

  size_t memory_bytes() const override;

 protected:
  Result<void> EncodeText(std::string_view text, bool after_special,
                          std::vector<TokenId>& ids) const override;

 private:
  BpeTokenizer(TokenVocab vocab, TokenizerRules rules, BpeMerges merges, PreTokenizer pre_tokenizer,
               bool ignore_merges);

  void EncodePiece(std::string_view piece, SymbolMerger& merger, std::vector<TokenId>& ids) const;

  BpeMerges merges_;
  PreTokenizer pre_tokenizer_;
  bool ignore_merges_;  // a piece that is a token is that token, whatever the merge rules say
  std::array<TokenId, 256> byte_ids_;
};

}  // namespace gguf_shard
