// The byte-level alphabet of GPT-2: a printable character for each of the 256 byte values, so that
// any bytes can be written as text in a vocabulary file. Bytes 21..7E, A1..AC and AE..FF stand for
// the character of the same code; the other 68, in ascending order, for U+0100..U+0143 (a space is
// U+0120, "Ġ"). Thread-safety: pure functions.
#pragma once

#include <string>
#include <string_view>

namespace gguf_shard {

// Appends the bytes that `text` spells. What is outside the alphabet stands for itself.
void AppendByteLevelDecoded(std::string_view text, std::string& bytes);

}  // namespace gguf_shard
