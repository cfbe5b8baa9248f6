// Private to the GGUF reader: which keys and tensor names are accepted. Pure; thread-safe.
#pragma once

#include <string_view>

namespace gguf_shard {

// Valid UTF-8 without control characters, and not empty. Names end up in JSON, in error messages
// and on terminals: other bytes there are an attack, not a name.
bool IsPlainName(std::string_view name);

}  // namespace gguf_shard
