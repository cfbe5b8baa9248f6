// Reads a JSON file of a test's. Thread-safe.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

namespace gguf_shard {

// A discarded value when the file is absent or is not JSON: every look into it then fails.
nlohmann::json ReadJson(const std::filesystem::path& path);

}  // namespace gguf_shard
