#include "atlas/simulation.h"

#include <algorithm>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include "atlas/cache_policy.h"
#include "atlas/residency_plan.h"
#include "core/bytes.h"
#include "core/page.h"

namespace gguf_shard {
namespace {

constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();
constexpr uint64_t kMaxPieces = uint64_t{1} << 16;
// Eight bytes are kept for each.
constexpr uint64_t kMaxPieceUses = uint64_t{1} << 27;

// The shards in pieces, numbered through.
struct Pieces {
  explicit Pieces(const Trace& trace) {
    uint64_t model_bytes = 0;
    for (const TraceShard& shard : trace.shards) model_bytes += shard.page_count * kPageBytes;
    const uint64_t piece_bytes = std::max(kMinPieceBytes, model_bytes / kMaxPieces);
    for (const TraceShard& shard : trace.shards) {
      first_of_shard.push_back(static_cast<uint32_t>(bytes.size()));
      uint64_t left = shard.page_count * kPageBytes;
      for (; left > piece_bytes; left -= piece_bytes) bytes.push_back(piece_bytes);
      if (left > 0) bytes.push_back(left);
    }
    first_of_shard.push_back(static_cast<uint32_t>(bytes.size()));
  }
  uint32_t count() const { return static_cast<uint32_t>(bytes.size()); }

  // Uses of pieces in the whole trace.
  uint64_t CountUses(const Trace& trace) const {
    uint64_t count = 0;
    for (const uint32_t shard : trace.uses) {
      count += first_of_shard[shard + 1] - first_of_shard[shard];
    }
    return count;
  }

  std::vector<uint64_t> bytes;
  std::vector<uint32_t> first_of_shard;
};

// Pieces that are kept, the first to leave first.
class Cache {
 public:
  Cache(const Pieces& pieces, uint64_t capacity_bytes)
      : pieces_(pieces), capacity_bytes_(capacity_bytes), rank_of_(pieces.count()) {
    is_kept_.assign(pieces.count(), false);
  }

  bool Has(uint32_t piece) const { return is_kept_[piece]; }
  void SetRank(uint32_t piece, double rank) {
    order_.erase({rank_of_[piece], piece});
    order_.insert({rank, piece});
    rank_of_[piece] = rank;
  }
  // With `may_pass_by` a piece that would be the first to leave is not kept at all.
  void Keep(uint32_t piece, double rank, bool may_pass_by) {
    if (pieces_.bytes[piece] > capacity_bytes_) return;
    while (kept_bytes_ + pieces_.bytes[piece] > capacity_bytes_) {
      if (may_pass_by && order_.begin()->first >= rank) return;
      Drop(order_.begin()->second);
    }
    order_.insert({rank, piece});
    rank_of_[piece] = rank;
    is_kept_[piece] = true;
    kept_bytes_ += pieces_.bytes[piece];
  }

 private:
  void Drop(uint32_t piece) {
    order_.erase({rank_of_[piece], piece});
    is_kept_[piece] = false;
    kept_bytes_ -= pieces_.bytes[piece];
  }

  const Pieces& pieces_;
  uint64_t capacity_bytes_;
  uint64_t kept_bytes_ = 0;
  std::vector<double> rank_of_;
  std::vector<bool> is_kept_;
  std::set<std::pair<double, uint32_t>> order_;
};

// For each use of a piece, in order: the number of the piece's next use.
std::vector<uint64_t> NextUses(const Trace& trace, const Pieces& pieces) {
  const uint64_t use_count = pieces.CountUses(trace);
  std::vector<uint64_t> next(use_count);
  std::vector<uint64_t> seen(pieces.count(), kNever);
  uint64_t use = use_count;
  for (size_t i = trace.uses.size(); i-- > 0;) {
    const uint32_t shard = trace.uses[i];
    for (uint32_t piece = pieces.first_of_shard[shard + 1];
         piece-- > pieces.first_of_shard[shard];) {
      next[--use] = seen[piece];
      seen[piece] = use;
    }
  }
  return next;
}

// What the atlas would do with a pool of this size.
struct PoolDivision {
  PoolDivision(const Trace& trace, const Pieces& pieces, uint64_t pool_bytes)
      : resident(pieces.count(), false) {
    const std::set<uint32_t> used(trace.uses.begin(), trace.uses.end());
    uint64_t scheduled_bytes = 0;
    uint64_t on_demand_bytes = 0;
    for (uint32_t shard = 0; shard < trace.shards.size(); ++shard) {
      const uint64_t bytes = trace.shards[shard].page_count * kPageBytes;
      if (!trace.shards[shard].scheduled) {
        on_demand_bytes += used.contains(shard) ? bytes : 0;
        continue;
      }
      scheduled_bytes += bytes;
    }
    const uint64_t floor_bytes = std::min(pool_bytes / kExpertCacheShare, on_demand_bytes);
    uint64_t resident_bytes = scheduled_bytes;
    uint64_t ring_bytes = 0;
    if (scheduled_bytes + floor_bytes > pool_bytes) {
      const uint64_t wanted_pages = WantedRingPages(
          scheduled_bytes / kPageBytes, (pool_bytes - floor_bytes) / kPageBytes, AtlasOptions{});
      ring_bytes = std::min(wanted_pages * kPageBytes, pool_bytes / 2);
      resident_bytes = pool_bytes - floor_bytes - ring_bytes;
    }
    cache_bytes = pool_bytes - resident_bytes - ring_bytes;
    Spread(trace, pieces, resident_bytes, scheduled_bytes);
  }

  // Evenly over the pass, as long as there is room.
  void Spread(const Trace& trace, const Pieces& pieces, uint64_t room_bytes, uint64_t all_bytes) {
    if (all_bytes == 0) return;
    const double share = static_cast<double>(room_bytes) / static_cast<double>(all_bytes);
    double seen_bytes = 0;
    double chosen_bytes = 0;
    for (uint32_t shard = 0; shard < trace.shards.size(); ++shard) {
      if (!trace.shards[shard].scheduled) continue;
      for (uint32_t i = pieces.first_of_shard[shard]; i < pieces.first_of_shard[shard + 1]; ++i) {
        seen_bytes += static_cast<double>(pieces.bytes[i]);
        const auto bytes = static_cast<double>(pieces.bytes[i]);
        if (chosen_bytes + bytes > seen_bytes * share + 0.5) continue;
        chosen_bytes += bytes;
        resident[i] = true;
      }
    }
  }

  std::vector<bool> resident;
  uint64_t cache_bytes = 0;
};

class Replay {
 public:
  Replay(const Trace& trace, SimulatedPolicy policy, uint64_t budget_bytes)
      : trace_(trace),
        policy_(policy),
        divides_(policy == SimulatedPolicy::kLru || policy == SimulatedPolicy::kFrequency),
        pieces_(trace),
        division_(trace, pieces_, budget_bytes),
        cache_(pieces_, divides_ ? division_.cache_bytes : budget_bytes),
        ranks_(policy == SimulatedPolicy::kFrequency ? CachePolicy::kFrequency : CachePolicy::kLru,
               pieces_.count()) {
    if (policy == SimulatedPolicy::kOptimum) next_uses_ = NextUses(trace, pieces_);
    was_read_.assign(pieces_.count(), false);
  }

  SimulatedRun Run() {
    const bool counts_all =
        std::none_of(trace_.passes.begin(), trace_.passes.end(),
                     [](const TracePass& pass) { return pass.token_count == 1; });
    for (size_t pass = 0; pass < trace_.passes.size(); ++pass) {
      pass_ = static_cast<double>(pass);
      counts_ = counts_all || trace_.passes[pass].token_count == 1;
      if (counts_) ++run_.pass_count;
      for (const uint32_t shard : trace_.UsesOf(pass)) {
        for (uint32_t i = pieces_.first_of_shard[shard]; i < pieces_.first_of_shard[shard + 1];
             ++i) {
          Count(shard, i, UsePiece(shard, i));
        }
      }
    }
    return run_;
  }

 private:
  // Whether the piece was there.
  bool UsePiece(uint32_t shard, uint32_t piece) {
    ++use_;
    if (divides_ && trace_.shards[shard].scheduled) {
      const bool hit = division_.resident[piece] && was_read_[piece];
      was_read_[piece] = true;
      return hit;
    }
    const double rank = RankOf(piece);
    if (cache_.Has(piece)) {
      cache_.SetRank(piece, rank);
      return true;
    }
    cache_.Keep(piece, rank, /*may_pass_by=*/policy_ == SimulatedPolicy::kOptimum);
    return false;
  }

  double RankOf(uint32_t piece) {
    if (policy_ == SimulatedPolicy::kOptimum) return -static_cast<double>(next_uses_[use_ - 1]);
    ranks_.NoteUse(piece, pass_);
    return ranks_.RankOf(piece);
  }

  void Count(uint32_t shard, uint32_t piece, bool hit) {
    if (!counts_) return;
    const uint64_t bytes = pieces_.bytes[piece];
    const auto add = [&](SimulatedUse& use) {
      use.used_bytes += bytes;
      use.read_bytes += hit ? 0 : bytes;
    };
    add(run_.all);
    if (!trace_.shards[shard].scheduled) add(run_.on_demand);
  }

  const Trace& trace_;
  SimulatedPolicy policy_;
  bool divides_;
  Pieces pieces_;
  PoolDivision division_;
  Cache cache_;
  UseRanks ranks_;
  std::vector<uint64_t> next_uses_;
  std::vector<bool> was_read_;
  uint64_t use_ = 0;
  double pass_ = 0;
  bool counts_ = false;
  SimulatedRun run_;
};

}  // namespace

std::string_view SimulatedPolicyName(SimulatedPolicy policy) {
  switch (policy) {
    case SimulatedPolicy::kPlainLru:
      return "plain_lru";
    case SimulatedPolicy::kLru:
      return "lru";
    case SimulatedPolicy::kFrequency:
      return "frequency";
    case SimulatedPolicy::kOptimum:
      return "optimum";
  }
  return "unknown";
}

std::optional<SimulatedPolicy> SimulatedPolicyFromName(std::string_view name) {
  for (const SimulatedPolicy policy : kSimulatedPolicies) {
    if (name == SimulatedPolicyName(policy)) return policy;
  }
  return std::nullopt;
}

Result<SimulatedRun> Simulate(const Trace& trace, SimulatedPolicy policy, uint64_t budget_bytes) {
  const uint64_t use_count = Pieces(trace).CountUses(trace);
  if (use_count > kMaxPieceUses) {
    return Fail(Error(ErrorCode::kTooLarge, "the trace is too long to be replayed")
                    .Expected(kMaxPieceUses)
                    .Found(use_count));
  }
  return Replay(trace, policy, budget_bytes).Run();
}

uint64_t UsedShardBytes(const Trace& trace) {
  std::vector<bool> used(trace.shards.size(), false);
  uint64_t bytes = 0;
  for (const uint32_t shard : trace.uses) {
    if (!used[shard]) bytes += trace.shards[shard].page_count * kPageBytes;
    used[shard] = true;
  }
  return bytes;
}

}  // namespace gguf_shard
