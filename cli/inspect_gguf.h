// `inspect` of a GGUF: its parts, metadata and tensors, and what it would be as a core.
// Thread-safety: pure functions.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "core/gguf_model.h"
#include "core/map.h"

namespace gguf_shard {

// One metadata value in at most `max_characters`, on one line: long texts and arrays are cut.
std::string ValueText(const GgufValue& value, size_t max_characters);
// Scalars as they are; an array as its type, count and first elements.
nlohmann::ordered_json ValueJson(const GgufValue& value);

// `plan`: the model as it would be sharded (not known for cores).
std::string GgufText(const GgufModel& model, const std::optional<CoreMap>& plan);
nlohmann::ordered_json GgufJson(const GgufModel& model, const std::optional<CoreMap>& plan);

}  // namespace gguf_shard
