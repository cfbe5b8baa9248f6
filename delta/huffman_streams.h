// Bytes as four Huffman streams, the way zstd's literals sections hold them (RFC 8878, 4.2.2).
// Wide instructions and plain code write the same bits. Thread-safety: a pure function.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "delta/huffman_code.h"

namespace gguf_shard {

inline constexpr uint32_t kHuffmanStreams = 4;
// zstd's limit of a block.
inline constexpr size_t kMaxHuffmanBytes = size_t{128} << 10;

// What one stream of a block can take, and what is written beyond its end.
inline constexpr size_t kHuffmanStreamRoom =
    kMaxHuffmanBytes / kHuffmanStreams * kMaxHuffmanBits / 8 + 64;
using HuffmanRoom = std::array<std::array<std::byte, kHuffmanStreamRoom>, kHuffmanStreams>;

// The bytes of each stream. `bytes`: at least 16, at most kMaxHuffmanBytes.
std::array<size_t, kHuffmanStreams> EncodeHuffman(const HuffmanCode& code,
                                                  std::span<const std::byte> bytes,
                                                  HuffmanRoom& room);

}  // namespace gguf_shard
