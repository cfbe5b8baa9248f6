// The merge rules of a byte-level BPE vocabulary: which two tokens become which third, and how
// early (its rank: the place in tokenizer.ggml.merges). Immutable; thread-safe.
#pragma once

#include <optional>
#include <vector>

#include "core/error.h"
#include "core/gguf.h"
#include "runtime/tokenizer_index.h"
#include "runtime/tokenizer_merge.h"
#include "runtime/tokenizer_vocab.h"

namespace gguf_shard {

class BpeMerges {
 public:
  // A rule whose parts or result are not tokens can never apply and is dropped; of two rules for
  // the same pair the first counts.
  static Result<BpeMerges> Read(const GgufHeader& header, const TokenVocab& vocab);

  std::optional<Merge> Find(TokenId left, TokenId right) const;

  size_t size() const { return rules_.size(); }
  size_t memory_bytes() const { return rules_.capacity() * sizeof(Rule) + index_.memory_bytes(); }

 private:
  struct Rule {
    TokenId left;
    TokenId right;
    TokenId merged;
  };

  uint32_t FindRank(TokenId left, TokenId right) const;

  std::vector<Rule> rules_;  // by rank
  PositionIndex index_;      // into rules_, by left and right
};

}  // namespace gguf_shard
