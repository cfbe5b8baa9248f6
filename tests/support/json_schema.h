// Holds JSON documents against the published schemas, with a validator that is not ours
// (tests/schemas/validate.py). For one thread.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace gguf_shard {

struct SchemaVerdict {
  bool skipped = false;   // the validator is not installed; `complaint` says so
  std::string complaint;  // empty when the document fits
};

// `schema_name` is a file of schemas/; the document is written to `scratch_directory`.
SchemaVerdict CheckAgainstSchema(const nlohmann::json& document, const std::string& schema_name,
                                 const std::filesystem::path& scratch_directory);

}  // namespace gguf_shard
