// Replays a trace against a cache of a given size, under each policy: what a run would have read.
//
//   plain_lru  all pages under one least-recently-used order, as a page cache keeps them
//   lru        the atlas's division of the pool (atlas/residency_plan.h), experts under lru
//   frequency  the same, experts under frequency
//   optimum    Belady's: what is used last leaves, or is not kept at all. Nothing can do better,
//              and nothing can know the future
//
// Shards are cut into pieces of kMinPieceBytes (longer ones when the model is beyond 64 GiB), so
// that a part of a long shard can stay. Only passes over one token are counted (all of them, when
// there are none); those of the prompt only fill the cache. Thread-safety: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "atlas/trace.h"
#include "core/error.h"

namespace gguf_shard {

inline constexpr uint64_t kMinPieceBytes = uint64_t{1} << 20;

enum class SimulatedPolicy : uint8_t { kPlainLru, kLru, kFrequency, kOptimum };
inline constexpr SimulatedPolicy kSimulatedPolicies[] = {
    SimulatedPolicy::kPlainLru, SimulatedPolicy::kLru, SimulatedPolicy::kFrequency,
    SimulatedPolicy::kOptimum};
std::string_view SimulatedPolicyName(SimulatedPolicy policy);  // as above
std::optional<SimulatedPolicy> SimulatedPolicyFromName(std::string_view name);

struct SimulatedUse {
  uint64_t used_bytes = 0;
  uint64_t read_bytes = 0;
  double hit_ratio() const {
    return used_bytes == 0 ? 0
                           : 1 - static_cast<double>(read_bytes) / static_cast<double>(used_bytes);
  }
};

struct SimulatedRun {
  uint64_t pass_count = 0;  // that were counted
  SimulatedUse all;
  SimulatedUse on_demand;  // the share of shards that not every pass uses
  double bytes_per_pass() const {
    return pass_count == 0 ? 0
                           : static_cast<double>(all.read_bytes) / static_cast<double>(pass_count);
  }
};

// kTooLarge when the trace is longer than a replay can hold.
Result<SimulatedRun> Simulate(const Trace& trace, SimulatedPolicy policy, uint64_t budget_bytes);

// Bytes of all shards that the trace uses.
uint64_t UsedShardBytes(const Trace& trace);

}  // namespace gguf_shard
