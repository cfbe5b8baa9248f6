// The hit ratio over the budget as a drawing: SVG, or a page of HTML around it that needs nothing
// else. Thread-safety: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "atlas/simulation.h"

namespace gguf_shard {

struct SimulatedPoint {
  uint64_t budget_bytes = 0;
  SimulatedPolicy policy = SimulatedPolicy::kLru;
  SimulatedRun run;
};

// Points in rising order of budget within each policy.
std::string SimulationSvg(const std::vector<SimulatedPoint>& points);
// `title` and `table` are plain text.
std::string SimulationHtml(const std::vector<SimulatedPoint>& points, const std::string& title,
                           const std::string& table);

}  // namespace gguf_shard
