// JSON results of commands: errors as objects, and the one way to print a document.
// Thread-safety: pure functions; PrintJson writes to stdout.
#pragma once

#include <nlohmann/json.hpp>

#include "core/error.h"

namespace gguf_shard {

// {"code": "checksum_mismatch", "message": ..., and what is known of file, tensor, page, ...}
nlohmann::ordered_json ErrorJson(const Error& error);

// Two spaces of indentation and a line end. Invalid UTF-8 in names is replaced, never an exception.
void PrintJson(const nlohmann::ordered_json& document);

}  // namespace gguf_shard
