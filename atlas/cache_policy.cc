#include "atlas/cache_policy.h"

#include <algorithm>
#include <cmath>

namespace gguf_shard {
namespace {

// In working sets. Measured on recorded traces with `gguf-shard simulate`; docs/STATISTICS.md says
// more. Between 1 and 8 the hit ratio moves by less than a hundredth.
constexpr double kHalfLife = 2;
constexpr double kNeverUsed = -1e300;

}  // namespace

std::string_view CachePolicyName(CachePolicy policy) {
  return policy == CachePolicy::kLru ? "lru" : "frequency";
}

Result<CachePolicy> CachePolicyFromName(std::string_view name) {
  for (const CachePolicy policy : {CachePolicy::kLru, CachePolicy::kFrequency}) {
    if (name == CachePolicyName(policy)) return policy;
  }
  return Fail(Error(ErrorCode::kUnsupported, "a cache policy that this program does not know")
                  .Expected("lru or frequency")
                  .Found(std::string(name.substr(0, 64))));
}

UseRanks::UseRanks(CachePolicy policy, uint32_t key_count, uint64_t working_set)
    : policy_(policy),
      half_life_(kHalfLife * static_cast<double>(std::max<uint64_t>(1, working_set))),
      ranks_(key_count, kNeverUsed) {}

void UseRanks::NoteUse(uint32_t key) {
  const auto now = static_cast<double>(++use_count_);
  double& rank = ranks_[key];
  if (policy_ == CachePolicy::kLru) {
    rank = now;
    return;
  }
  // log2(2^a + 2^b) without overflow.
  const double use = now / half_life_;
  const double larger = std::max(rank, use);
  const double difference = std::min(rank, use) - larger;
  rank = difference < -60 ? larger : larger + std::log2(1 + std::exp2(difference));
}

}  // namespace gguf_shard
