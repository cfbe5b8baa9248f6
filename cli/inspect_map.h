// `inspect` of a core by its map. Thread-safety: pure functions.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "core/map.h"

namespace gguf_shard {

// "[2048, 32000]", ne[0] first; "[]" for a 0-dimensional tensor.
std::string ShapeText(std::span<const uint64_t> shape);

// Tables for people: core, source, totals, overhead, tensors.
std::string MapText(const CoreMap& map);
nlohmann::ordered_json MapJson(const CoreMap& map);

// The tensors alone, with their place in the core; and the totals and overhead alone.
std::string MapTensorTable(const CoreMap& map);
std::string OverheadText(const CoreMap& map);
nlohmann::ordered_json MapTensorsJson(const CoreMap& map);
nlohmann::ordered_json OverheadJson(const CoreMap& map);

}  // namespace gguf_shard
