// Private to the GGUF reader: which keys and tensor names are accepted, and how errors
// show them. Pure; thread-safe.
#pragma once

#include <string>
#include <string_view>

namespace gguf_shard {

// Valid UTF-8 without control characters, and not empty. Names end up in JSON, in error messages
// and on terminals: other bytes there are an attack, not a name.
bool IsPlainName(std::string_view name);

// A plain name as errors show it: one of more than 64 bytes is cut.
std::string DisplayName(std::string_view name);

}  // namespace gguf_shard
