#include "atlas/residency_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "atlas/frame_classes.h"
#include "atlas/run_selection.h"

namespace gguf_shard {
namespace {

// The ring has room for `io_threads` reads of at least this length in flight and as much again
// ready, and for as many of kMaxRingReadPages where that is a small part of the pool; reads are as
// long as that many of them allow. It takes a fiftieth of what is streamed when that is more, and
// then at most max_ring_bytes: what the ring has, the resident share lacks, and a ring that the
// processor's cache holds is filled faster. Measured in a virtual machine whose disk ends all reads
// in flight together: at a tenth of a model 12 MiB give 12 % more than 6, 16 the same, 24 less.
constexpr uint64_t kMinReadPages = 64;   // 256 KiB
constexpr uint64_t kRoomyRingShare = 8;  // of the pool, one part of so many
// Embedding rows: words repeat, but each row is small.
constexpr uint64_t kGatherCacheShare = 64;
constexpr uint64_t kMaxGatherCachePages = 1024;  // 4 MiB

struct Totals {
  uint64_t scheduled_pages = 0;
  uint64_t on_demand_pages = 0;
  uint64_t expert_pages = 0;  // on demand and multiplied, not gathered
  uint32_t longest_scheduled_run = 0;
};

Totals CountPages(const CoreMap& map, const RunTable& runs, const Schedule& schedule) {
  Totals totals;
  for (uint32_t i = 0; i < runs.run_count(); ++i) {
    const Run& run = runs.run(i);
    if (schedule.PositionOf(i) != Schedule::kNoPosition) {
      totals.scheduled_pages += run.page_count;
      totals.longest_scheduled_run = std::max(totals.longest_scheduled_run, run.page_count);
      continue;
    }
    totals.on_demand_pages += run.page_count;
    if (map.tensors[run.tensor_index].layout.layout == MemoryLayout::kColumnMajor) {
      totals.expert_pages += run.page_count;
    }
  }
  return totals;
}

uint32_t UniversalFrames(const AtlasOptions& options) {
  return std::max<uint32_t>(1, options.concurrent_pins);
}

uint64_t CacheFloorPages(const Totals& totals, uint64_t pool_pages, uint64_t available_pages) {
  const uint64_t wanted =
      totals.expert_pages > 0
          ? pool_pages / kExpertCacheShare
          : std::min<uint64_t>(pool_pages / kGatherCacheShare, kMaxGatherCachePages);
  return std::min({wanted, totals.on_demand_pages, available_pages / 2});
}

// 0 when there is nothing to read ahead, or no room for it: then runs are loaded when asked for.
uint64_t RingPages(const Totals& totals, uint64_t available_pages, const AtlasOptions& options) {
  if (options.prefetch_distance == 0) return 0;
  const uint64_t longest = totals.longest_scheduled_run;
  const uint64_t least = std::max<uint32_t>(1, options.io_threads) * kMinReadPages * 2 +
                         UniversalFrames(options) * longest;
  const uint64_t wanted =
      std::max(least, WantedRingPages(totals.scheduled_pages, available_pages, options));
  const uint64_t pages = std::min({wanted, available_pages / 2, totals.scheduled_pages});
  return pages < 2 * longest ? 0 : pages;
}

ResidencyPlan PlanEverythingResident(const RunTable& runs) {
  ResidencyPlan plan;
  for (const Run& run : runs.runs()) {
    plan.own_slot.push_back(plan.own_pages);
    plan.own_pages += run.page_count;
  }
  plan.pool_pages = plan.own_pages;
  plan.ring_first_slot = plan.own_pages;
  plan.frame_class.assign(runs.run_count(), 0);
  return plan;
}

// Own slots in the order of the file: what is adjacent there is adjacent here, and one read.
void PlaceOwnSlots(const RunTable& runs, const std::vector<bool>& chosen, ResidencyPlan& plan) {
  plan.own_slot.assign(runs.run_count(), kNoSlot);
  for (uint32_t i = 0; i < runs.run_count(); ++i) {
    if (!chosen[i]) continue;
    plan.own_slot[i] = plan.own_pages;
    plan.own_pages += runs.run(i).page_count;
  }
}

void PlaceRingAndFrames(const RunTable& runs, const Schedule& schedule, uint64_t cache_pages,
                        bool with_ring, const AtlasOptions& options, ResidencyPlan& plan) {
  const FrameClass universal{0, runs.max_run_pages(), UniversalFrames(options)};
  FrameDivision division = DivideFrames(runs, schedule, universal, cache_pages);
  const auto frames_pages = static_cast<uint32_t>(division.page_count);
  plan.ring_first_slot = plan.own_pages;
  if (with_ring) {
    plan.ring_pages = plan.pool_pages - plan.own_pages - frames_pages;
    const uint32_t reads = std::max<uint32_t>(1, options.io_threads);
    plan.read_pages = std::min(plan.ring_pages / reads, kMaxRingReadPages);
  }
  for (FrameClass& frame_class : division.classes) {
    frame_class.first_slot += plan.own_pages + plan.ring_pages;
  }
  plan.frame_classes = std::move(division.classes);
  plan.frame_class = std::move(division.class_of_run);
}

}  // namespace

uint64_t WantedRingPages(uint64_t scheduled_pages, uint64_t available_pages,
                         const AtlasOptions& options) {
  const uint64_t streamed = scheduled_pages - std::min(scheduled_pages, available_pages);
  const uint64_t share = std::min(streamed / kRingShare, options.max_ring_bytes / kPageBytes);
  const uint64_t long_reads = uint64_t{options.io_threads} * kMaxRingReadPages;
  return std::max(share, std::min(long_reads, available_pages / kRoomyRingShare));
}

uint64_t MinimumPoolPages(const RunTable& runs, const AtlasOptions& options) {
  return std::min(uint64_t{UniversalFrames(options)} * runs.max_run_pages(), runs.total_pages());
}

Result<ResidencyPlan> PlanResidency(const CoreMap& map, const RunTable& runs,
                                    const Schedule& schedule, const AtlasOptions& options) {
  const uint64_t pool_pages = std::min(options.pool_bytes / kPageBytes, runs.total_pages());
  const uint64_t minimum_pages = MinimumPoolPages(runs, options);
  if (pool_pages < minimum_pages) {
    return Fail(Error(ErrorCode::kBudgetTooSmall, "the page pool is too small for this model")
                    .Expected(fmt::format("at least {} bytes", minimum_pages * kPageBytes))
                    .Found(fmt::format("{} bytes", options.pool_bytes)));
  }
  if (pool_pages == runs.total_pages()) return PlanEverythingResident(runs);

  const Totals totals = CountPages(map, runs, schedule);
  const uint64_t available_pages =
      pool_pages - uint64_t{UniversalFrames(options)} * runs.max_run_pages();
  const uint64_t floor_pages = CacheFloorPages(totals, pool_pages, available_pages);
  const bool all_scheduled_fit = totals.scheduled_pages + floor_pages <= available_pages;
  const uint64_t ring_pages = all_scheduled_fit ? 0 : RingPages(totals, available_pages, options);

  ResidencyPlan plan;
  plan.pool_pages = static_cast<uint32_t>(pool_pages);
  PlaceOwnSlots(runs,
                SelectResidentRuns(map, runs, schedule, available_pages - floor_pages - ring_pages),
                plan);
  plan.streamed_pages = totals.scheduled_pages - plan.own_pages;
  const uint64_t cache_pages = ring_pages > 0 ? floor_pages : available_pages - plan.own_pages;
  PlaceRingAndFrames(runs, schedule, cache_pages, ring_pages > 0, options, plan);
  return plan;
}

}  // namespace gguf_shard
