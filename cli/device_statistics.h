// What a Vulkan device did in a run, for people and for programs. Thread-safety: pure functions.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "runtime/engine.h"

namespace gguf_shard {

// How a page that was used came to be there, one line for each way.
std::string PageUseText(const AtlasStats& atlas);

// `stats` has a device. With layers on the host, too, the device's page uses are listed apart.
std::string DeviceStatisticsText(const EngineStats& stats, const MemoryPlan& plan);
nlohmann::ordered_json DeviceStatisticsJson(const EngineStats& stats);

}  // namespace gguf_shard
