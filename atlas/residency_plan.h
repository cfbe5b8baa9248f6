// How a pool is divided, decided once when an atlas is opened. A pure function of the map, the
// schedule and the options; it allocates no pool and reads nothing.
//
//   0           ring_first_slot        frame_classes[0].first_slot                      pool_pages
//   +-----------+----------------------+-----------------------+-------+-------------------------+
//   | own slots | ring                 | universal frames      | class 1 frames | ...            |
//   +-----------+----------------------+-----------------------+-------+-------------------------+
//
//   own slots         of runs that are loaded once and stay. First the scheduled runs of the high
//                     zone; then short runs, whose reads cost as much as long ones; then as many
//                     normal ones as fit, in chunks of about kSpreadChunkPages spread evenly over
//                     the schedule; then cold ones.
//   ring              for the scheduled runs without a slot of their own (streamed runs).
//   universal frames  at least `concurrent_pins` frames of the longest run: what makes every Pin
//                     succeed in the end. They alone are the smallest pool.
//   other frames      by length of the runs that are used on demand: a small part when those are
//                     embedding rows, all that scheduled runs leave when they are experts.
//
// When the whole model fits, every run has its own slot, and there is neither ring nor frame.
// Thread-safety: pure functions.
#pragma once

#include <cstdint>
#include <vector>

#include "atlas/atlas.h"
#include "atlas/run_table.h"
#include "atlas/schedule.h"
#include "core/error.h"
#include "core/map.h"

namespace gguf_shard {

inline constexpr uint32_t kMaxIoThreads = 64;
// The ring's share of what has to be streamed, and that of experts in the pool when not even the
// scheduled runs all fit: one part of so many.
inline constexpr uint64_t kRingShare = 50;
inline constexpr uint64_t kExpertCacheShare = 8;
inline constexpr uint32_t kNoSlot = ~uint32_t{0};
inline constexpr uint32_t kMaxReadPages = 256;      // 1 MiB, into own slots
inline constexpr uint32_t kMaxRingReadPages = 256;  // 1 MiB
inline constexpr uint32_t kSpreadChunkPages = 256;  // pinned or streamed together

struct FrameClass {
  uint32_t first_slot = 0;
  uint32_t frame_pages = 0;
  uint32_t frame_count = 0;
  uint64_t page_count() const { return uint64_t{frame_pages} * frame_count; }
};

struct ResidencyPlan {
  uint32_t pool_pages = 0;
  uint32_t own_pages = 0;  // slots 0 .. own_pages - 1
  uint32_t ring_first_slot = 0;
  uint32_t ring_pages = 0;
  uint32_t read_pages = kMaxRingReadPages;  // longest joined read into the ring
  std::vector<FrameClass> frame_classes;
  std::vector<uint32_t> own_slot;    // by run; kNoSlot for runs without one
  std::vector<uint8_t> frame_class;  // by run: where it goes when it is used on demand
  uint64_t streamed_pages = 0;       // scheduled pages without a slot: read in every pass

  bool everything_fits() const { return frame_classes.empty(); }
};

// The ring that streams best when `available_pages` of memory serve `scheduled_pages`, were there
// no other bound on it.
uint64_t WantedRingPages(uint64_t scheduled_pages, uint64_t available_pages,
                         const AtlasOptions& options);

// Slots that the smallest pool has.
uint64_t MinimumPoolPages(const RunTable& runs, const AtlasOptions& options);

// kBudgetTooSmall names the smallest pool that would do.
Result<ResidencyPlan> PlanResidency(const CoreMap& map, const RunTable& runs,
                                    const Schedule& schedule, const AtlasOptions& options);

}  // namespace gguf_shard
