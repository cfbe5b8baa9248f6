// Huffman codes of bytes as zstd has them (RFC 8878, 4.2): at most 11 bits, complete, canonical.
//
// Every byte value has a code, so that a code made from a sample serves all data. Thread-safety:
// pure functions.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace gguf_shard {

inline constexpr uint32_t kMaxHuffmanBits = 11;

struct HuffmanCode {
  std::array<uint16_t, 256> code;
  std::array<uint8_t, 256> bits;  // 1..kMaxHuffmanBits
};

// Counts of 0 are taken for very rare. Not the optimal code under the limit, but next to it.
HuffmanCode MakeHuffmanCode(const std::array<uint32_t, 256>& counts);

// The tree as it begins a literals section. Empty when it cannot be written: that is so for codes
// that shorten nothing.
std::vector<std::byte> HuffmanTreeDescription(const HuffmanCode& code);

}  // namespace gguf_shard
