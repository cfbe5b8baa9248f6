#include "runtime/bpe_tokenizer_merges.h"

#include <string>
#include <string_view>

#include "runtime/bpe_tokenizer_alphabet.h"

namespace gguf_shard {
namespace {

constexpr std::string_view kKeyMerges = "tokenizer.ggml.merges";

// The pair is unique in 64 bits; a multiplication by an odd constant and a fold spread it.
uint64_t HashPair(TokenId left, TokenId right) {
  uint64_t hash =
      static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  hash *= 0x9E3779B97F4A7C15;  // 2^64 / golden ratio
  return hash ^ hash >> 32;
}

}  // namespace

Result<BpeMerges> BpeMerges::Read(const GgufHeader& header, const TokenVocab& vocab) {
  GS_ASSIGN(const GgufArray array, header.GetArray(kKeyMerges));
  const auto lines = array.Strings();
  if (!lines) {
    return Fail(ErrorCode::kMalformed, "The metadata array tokenizer.ggml.merges is not strings");
  }
  BpeMerges merges;
  merges.rules_.reserve(lines->size());
  merges.index_.Reset(lines->size());
  std::string bytes;
  for (const std::string_view line : *lines) {
    // "LEFT RIGHT"; a left part may begin with a space of its own, but holds none after that.
    const size_t space = line.find(' ', 1);
    if (space == std::string_view::npos) continue;
    bytes.clear();
    AppendByteLevelDecoded(line.substr(0, space), bytes);
    const size_t left_bytes = bytes.size();
    AppendByteLevelDecoded(line.substr(space + 1), bytes);
    const std::string_view both = bytes;
    const Rule rule = {vocab.FindText(both.substr(0, left_bytes)),
                       vocab.FindText(both.substr(left_bytes)), vocab.FindText(both)};
    if (rule.left == kNoToken || rule.right == kNoToken || rule.merged == kNoToken) continue;
    if (merges.FindRank(rule.left, rule.right) != PositionIndex::kNone) continue;
    merges.index_.Insert(HashPair(rule.left, rule.right),
                         static_cast<uint32_t>(merges.rules_.size()));
    merges.rules_.push_back(rule);
  }
  return merges;
}

uint32_t BpeMerges::FindRank(TokenId left, TokenId right) const {
  return index_.Find(HashPair(left, right), [&](uint32_t rank) {
    return rules_[rank].left == left && rules_[rank].right == right;
  });
}

std::optional<Merge> BpeMerges::Find(TokenId left, TokenId right) const {
  const uint32_t rank = FindRank(left, right);
  if (rank == PositionIndex::kNone) return std::nullopt;
  return Merge{static_cast<double>(rank), rules_[rank].merged};
}

}  // namespace gguf_shard
