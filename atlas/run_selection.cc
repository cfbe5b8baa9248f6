#include "atlas/run_selection.h"

#include <algorithm>
#include <array>
#include <span>

#include "atlas/residency_plan.h"

namespace gguf_shard {
namespace {

// A read below this costs as much as one of this length: such runs are worth a slot first.
constexpr uint32_t kShortRunPages = 4;
// The spread is never coarser than this many chunks in a pass.
constexpr uint64_t kMinChunks = 64;

enum Tier : uint8_t { kHighTier, kShortTier, kNormalTier, kColdTier, kTierCount };

Tier TierOf(const CoreMap& map, const Run& run) {
  switch (map.tensors[run.tensor_index].zone) {
    case Zone::kHigh:
      return kHighTier;
    case Zone::kCold:
      return kColdTier;
    case Zone::kNormal:
      break;
  }
  return run.page_count < kShortRunPages ? kShortTier : kNormalTier;
}

class Selection {
 public:
  Selection(const RunTable& runs, uint64_t budget_pages)
      : runs_(runs), budget_pages_(budget_pages), chosen_(runs.run_count(), false) {}

  // Chooses among `candidates` (in schedule order): all, or whole chunks of adjacent runs so that
  // the chosen share is the same all over the schedule (Bresenham's line), then single runs.
  void Spread(std::span<const uint32_t> candidates) {
    uint64_t total_pages = 0;
    for (const uint32_t run : candidates) total_pages += pages(run);
    if (total_pages == 0) return;
    const uint64_t share_pages = std::min(budget_pages_, total_pages);
    const uint64_t chunk_pages =
        std::clamp<uint64_t>(total_pages / kMinChunks, 1, kSpreadChunkPages);
    uint64_t seen_pages = 0;
    uint64_t chosen_pages = 0;
    for (size_t first = 0; first < candidates.size();) {
      const Chunk chunk = TakeChunk(candidates, first, chunk_pages);
      seen_pages += chunk.page_count;
      const uint64_t due_pages = seen_pages * share_pages / total_pages;  // both below 2^32
      if (chosen_pages + chunk.page_count <= due_pages) {
        chosen_pages += chunk.page_count;
        for (size_t i = first; i < chunk.end; ++i) Choose(candidates[i]);
      }
      first = chunk.end;
    }
    for (const uint32_t run : candidates) {
      if (!chosen_[run] && pages(run) <= budget_pages_) Choose(run);
    }
  }

  std::vector<bool> Take() { return std::move(chosen_); }

 private:
  struct Chunk {
    size_t end;  // index of the first candidate after it
    uint64_t page_count;
  };

  // Runs from `first` on that are adjacent in the file, about `chunk_pages` long in all.
  Chunk TakeChunk(std::span<const uint32_t> candidates, size_t first, uint64_t chunk_pages) const {
    Chunk chunk{first + 1, pages(candidates[first])};
    while (chunk.end < candidates.size() && chunk.page_count < chunk_pages) {
      const Run& previous = runs_.run(candidates[chunk.end - 1]);
      const Run& next = runs_.run(candidates[chunk.end]);
      if (previous.first_page + previous.page_count != next.first_page) break;
      chunk.page_count += next.page_count;
      ++chunk.end;
    }
    return chunk;
  }

  void Choose(uint32_t run) {
    chosen_[run] = true;
    budget_pages_ -= pages(run);
  }
  uint64_t pages(uint32_t run) const { return runs_.run(run).page_count; }

  const RunTable& runs_;
  uint64_t budget_pages_;
  std::vector<bool> chosen_;
};

}  // namespace

std::vector<bool> SelectResidentRuns(const CoreMap& map, const RunTable& runs,
                                     const Schedule& schedule, uint64_t budget_pages) {
  std::array<std::vector<uint32_t>, kTierCount> tiers;
  for (const uint32_t run : schedule.runs()) tiers[TierOf(map, runs.run(run))].push_back(run);
  Selection selection(runs, budget_pages);
  for (const auto& tier : tiers) selection.Spread(tier);
  return selection.Take();
}

}  // namespace gguf_shard
