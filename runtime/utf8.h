// UTF-8, read from bytes that may be anything. Well-formed as Unicode defines it (table 3-7): no
// overlong forms, no surrogates, nothing above U+10FFFF. Thread-safety: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace gguf_shard {

enum class Utf8Kind : uint8_t {
  kCharacter,   // a whole, well-formed character
  kInvalid,     // bytes that can be part of no character: the longest run that began like one
  kIncomplete,  // the text ends inside a character that could still become well-formed
};

struct Utf8Step {
  Utf8Kind kind;
  uint32_t byte_size;  // 1 to 4; up to the end of the text for kIncomplete
};

// What the text begins with; `text` must not be empty.
Utf8Step NextUtf8(std::string_view text);

// The longest well-formed start of the text, in bytes.
size_t Utf8ValidPrefixBytes(std::string_view text);
// The longest start of the text that holds no well-formed character, in bytes.
size_t Utf8InvalidPrefixBytes(std::string_view text);

}  // namespace gguf_shard
