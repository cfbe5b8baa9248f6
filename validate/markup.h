// Text in XML and HTML. Thread-safety: pure functions.
#pragma once

#include <string>
#include <string_view>

namespace gguf_shard {

// With &, <, > and quotes as entities; control characters and invalid UTF-8 become U+FFFD.
std::string Escaped(std::string_view text);

}  // namespace gguf_shard
