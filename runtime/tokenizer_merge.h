// The merge loop that both tokenizers share: a line of symbols, and always the best pair of
// neighbours becomes one, until no pair may merge.
//
// Symbols are a linked list over an array; candidates wait in a heap, the best on top, the leftmost
// first among equals. A candidate is stale when one of its symbols has merged since, which shows in
// their lengths. O(n log n) for n symbols. Reuse one merger for many texts: it keeps its memory.
// For one thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "runtime/tokenizer.h"

namespace gguf_shard {

struct MergeSymbol {
  uint32_t offset;  // in the text, bytes
  uint32_t byte_size;
  int32_t previous;  // index of the neighbour, kNoSymbol at the ends
  int32_t next;
  TokenId id;  // kNoToken when no token has these bytes
};

// What a pair would become. Lower costs merge first.
struct Merge {
  double cost;
  TokenId id;
};

class SymbolMerger {
 public:
  static constexpr int32_t kNoSymbol = -1;

  void Clear() {
    symbols_.clear();
    queue_.clear();
  }

  // Appends a symbol of the text that follows those added before.
  void Add(uint32_t byte_size, TokenId id) {
    const auto index = static_cast<int32_t>(symbols_.size());
    uint32_t offset = 0;
    if (index > 0) {
      symbols_.back().next = index;
      offset = symbols_.back().offset + symbols_.back().byte_size;
    }
    symbols_.push_back({offset, byte_size, index - 1, kNoSymbol, id});
  }

  // find(left, right): std::optional<Merge>.
  template <typename FindMerge>
  void Run(FindMerge find) {
    for (int32_t right = 1; right < static_cast<int32_t>(symbols_.size()); ++right) {
      Offer(right - 1, right, find);
    }
    while (!queue_.empty()) {
      std::pop_heap(queue_.begin(), queue_.end(), IsWorse);
      const Candidate best = queue_.back();
      queue_.pop_back();
      if (IsStale(best)) continue;
      Join(best);
      Offer(symbols_[best.left].previous, best.left, find);
      Offer(best.left, symbols_[best.left].next, find);
    }
  }

  // visit(symbol) for what is left, in order.
  template <typename Visit>
  void ForEach(Visit visit) const {
    if (symbols_.empty()) return;
    for (int32_t index = 0; index != kNoSymbol; index = symbols_[index].next) {
      visit(symbols_[index]);
    }
  }

 private:
  struct Candidate {
    double cost;
    int32_t left;
    int32_t right;
    uint32_t byte_size;
    TokenId id;
  };

  static bool IsWorse(const Candidate& a, const Candidate& b) {
    return a.cost > b.cost || (a.cost == b.cost && a.left > b.left);
  }

  // A merged-away symbol has no bytes; a grown one has more than the candidate counted.
  bool IsStale(const Candidate& candidate) const {
    const uint32_t left_bytes = symbols_[candidate.left].byte_size;
    const uint32_t right_bytes = symbols_[candidate.right].byte_size;
    return left_bytes == 0 || right_bytes == 0 || left_bytes + right_bytes != candidate.byte_size;
  }

  template <typename FindMerge>
  void Offer(int32_t left, int32_t right, FindMerge& find) {
    if (left == kNoSymbol || right == kNoSymbol) return;
    const auto merge = find(symbols_[left], symbols_[right]);
    if (!merge) return;
    const uint32_t byte_size = symbols_[left].byte_size + symbols_[right].byte_size;
    queue_.push_back({merge->cost, left, right, byte_size, merge->id});
    std::push_heap(queue_.begin(), queue_.end(), IsWorse);
  }

  void Join(const Candidate& pair) {
    MergeSymbol& left = symbols_[pair.left];
    MergeSymbol& right = symbols_[pair.right];
    left.byte_size += right.byte_size;
    left.id = pair.id;
    left.next = right.next;
    right.byte_size = 0;
    if (left.next != kNoSymbol) symbols_[left.next].previous = pair.left;
  }

  std::vector<MergeSymbol> symbols_;
  std::vector<Candidate> queue_;
};

}  // namespace gguf_shard
