// What a GGUF's metadata says about the special tokens: which they are, when BOS and EOS are added,
// which tokens end a generation. Plain values; thread-safe.
#pragma once

#include <vector>

#include "core/error.h"
#include "core/gguf.h"
#include "runtime/tokenizer_vocab.h"

namespace gguf_shard {

struct TokenizerRules {
  TokenId bos = kNoToken;
  TokenId eos = kNoToken;
  TokenId unknown = kNoToken;
  bool add_bos = false;  // true only when there is a BOS
  bool add_eos = false;
  bool add_space_prefix = false;      // SentencePiece: a space before text that follows nothing
                                      // or a special token
  bool strips_after_special = false;  // white space after most special tokens is dropped
  std::vector<TokenId> end_of_generation;  // ascending
};

// What holds where the metadata is silent. SentencePiece models add a BOS and have the ids that its
// trainer gives by default; byte-level models have neither, but for those named with their
// pre-tokenizer.
TokenizerRules DefaultRules(VocabForm form, bool add_bos);

// Reads the metadata over the defaults. kMalformed when it names a token that does not exist.
// Well-known texts that end a generation become control tokens in `vocab`, whatever their stored
// type: many files mark them as ordinary, and then a model never stops.
Result<TokenizerRules> ReadTokenizerRules(const GgufHeader& header, const TokenizerRules& defaults,
                                          TokenVocab& vocab);

}  // namespace gguf_shard
