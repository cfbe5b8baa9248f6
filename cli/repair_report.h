// What `verify --repair` did, for people and for programs. Thread-safety: pure functions.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "validate/repair.h"

namespace gguf_shard {

// One line for each thing that was repaired or could not be; ends with a newline. Empty when
// nothing was wrong.
std::string RepairText(const RepairReport& report, bool quiet);
nlohmann::ordered_json RepairJson(const RepairReport& report);

// "page 7" or "pages 7 to 9".
std::string PagesText(const PageRange& pages);

}  // namespace gguf_shard
