// Which pages of a model would stay in memory with a given pool, as the atlas plans it: for the
// page map of the report. Pure functions; they read the core's metadata only.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "core/error.h"
#include "core/map.h"

namespace gguf_shard {

struct ResidencyMap {
  uint64_t pool_bytes = 0;
  std::vector<PageRange> resident;  // ascending, neighbours joined
};

// With a pool of this share of all weights.
Result<ResidencyMap> MapResidency(const std::filesystem::path& map_path, double share);

}  // namespace gguf_shard
