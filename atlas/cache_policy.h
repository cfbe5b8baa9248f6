// Which of the runs (or shards) that are used on demand leaves first: a number for each, from the
// times of its uses. The lowest number leaves. A number changes only when its owner is used, so an
// ordered container can hold them.
//
//   lru        the time of the last use
//   frequency  uses, each counting half as much once `half_life` uses of anything have passed.
//              What was seen before and evicted keeps its history, so that a run that comes again
//              and again finds its way back, and one that came once does not push it out.
//
// Ages of uses all fade alike, so their order is the order of log2(sum of 2^(time / half_life)),
// which needs no ageing. Not thread-safe.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace gguf_shard {

enum class CachePolicy : uint8_t { kLru, kFrequency };
std::string_view CachePolicyName(CachePolicy policy);  // "lru", "frequency"
// kUnsupported for a name that this program does not know.
Result<CachePolicy> CachePolicyFromName(std::string_view name);

class UseRanks {
 public:
  // Keys are below `key_count`; `working_set` is how many of them there are to choose from: the
  // half-life is a multiple of it.
  UseRanks(CachePolicy policy, uint32_t key_count, uint64_t working_set);

  void NoteUse(uint32_t key);
  double RankOf(uint32_t key) const { return ranks_[key]; }

 private:
  CachePolicy policy_;
  double half_life_;
  uint64_t use_count_ = 0;
  std::vector<double> ranks_;
};

}  // namespace gguf_shard
