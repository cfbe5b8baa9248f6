// Which scheduled runs get a slot of their own. Pure function.
#pragma once

#include <cstdint>
#include <vector>

#include "atlas/run_table.h"
#include "atlas/schedule.h"
#include "core/map.h"

namespace gguf_shard {

// By run: true when it is chosen. No more than `budget_pages` in all, in this order: the high zone;
// short runs; an even spread of the normal zone over the schedule; an even spread of the cold zone.
// Whatever budget is left is smaller than the shortest scheduled run that was not chosen.
std::vector<bool> SelectResidentRuns(const CoreMap& map, const RunTable& runs,
                                     const Schedule& schedule, uint64_t budget_pages);

}  // namespace gguf_shard
