// What a run did, for people (on stderr) and for programs (--stats FILE.json).
// Thread-safety: pure functions.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "runtime/engine.h"
#include "runtime/generate.h"
#include "runtime/speed_estimate.h"

namespace gguf_shard {

struct RunStatistics {
  Generation generation;
  EngineStats engine;
  MemoryPlan plan;
  KvType kv_type = KvType::kF16;
  uint64_t seed = 0;
  double load_seconds = 0;  // from the start of the command to an engine that is ready
  std::string page_source;
  std::optional<SpeedEstimate> expected;  // measured after the run, when that was asked for
};

std::string StatisticsText(const RunStatistics& statistics);
nlohmann::ordered_json StatisticsJson(const RunStatistics& statistics);

}  // namespace gguf_shard
