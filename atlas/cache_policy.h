// Which of the runs (or shards) that are used on demand leaves first: a number for each, from the
// times of its uses. The lowest number leaves. A number changes only when its owner is used, so an
// ordered container can hold them.
//
//   lru        the time of the last use
//   frequency  uses, each counting half as much after kHalfLifePasses passes. What was evicted
//              keeps its history, so that a run that comes again and again finds its way back, and
//              one that came once does not push it out.
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

// Measured on recorded traces (docs/STREAMING.md): experts of a trained model with 8, and of a made
// one with 128 in each layer, both do best near it; half or twice as much makes little difference.
inline constexpr double kHalfLifePasses = 64;

class UseRanks {
 public:
  // Keys are below `key_count`.
  UseRanks(CachePolicy policy, uint32_t key_count);

  // `pass` is the time in passes (tokens); it does not fall.
  void NoteUse(uint32_t key, double pass);
  double RankOf(uint32_t key) const { return ranks_[key]; }

 private:
  CachePolicy policy_;
  uint64_t use_count_ = 0;
  std::vector<double> ranks_;
};

}  // namespace gguf_shard
