// Divides the on-demand part of a pool into frame classes. Pure function.
#pragma once

#include <cstdint>
#include <vector>

#include "atlas/residency_plan.h"
#include "atlas/run_table.h"
#include "atlas/schedule.h"

namespace gguf_shard {

struct FrameDivision {
  std::vector<FrameClass> classes;    // [0] is universal; first_slot counts from the first frame
  std::vector<uint8_t> class_of_run;  // the smallest class whose frames hold the run
  uint64_t page_count = 0;            // of all classes
};

// `universal` frames are given; `cache_pages` come on top and are shared among the lengths of the
// on-demand runs by their bytes in the model: the parts of an expert (gate, up, down) are used
// together, so each part of the cache then holds the same share of the experts. Lengths within an
// eighth of each other share a class.
FrameDivision DivideFrames(const RunTable& runs, const Schedule& schedule, FrameClass universal,
                           uint64_t cache_pages);

}  // namespace gguf_shard
