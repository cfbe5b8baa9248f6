#include "atlas/cache_policy.h"

#include <algorithm>
#include <cmath>

namespace gguf_shard {
namespace {

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

UseRanks::UseRanks(CachePolicy policy, uint32_t key_count)
    : policy_(policy), ranks_(key_count, kNeverUsed) {}

void UseRanks::NoteUse(uint32_t key, double pass) {
  double& rank = ranks_[key];
  if (policy_ == CachePolicy::kLru) {
    rank = static_cast<double>(++use_count_);
    return;
  }
  // log2(2^a + 2^b) without overflow.
  const double use = pass / kHalfLifePasses;
  const double larger = std::max(rank, use);
  const double difference = std::min(rank, use) - larger;
  rank = difference < -60 ? larger : larger + std::log2(1 + std::exp2(difference));
}

}  // namespace gguf_shard
