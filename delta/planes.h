// Blocks as planes: byte p of every block together, block b's at p * count + b. What compresses
// well in a block (scales, sign and exponent bytes) then lies together.
//
// On x86-64, 8 x 8 bytes are transposed at a time; the result is the same everywhere.
// Thread-safety: pure functions.
#pragma once

#include <cstddef>
#include <span>

namespace gguf_shard {

// bytes.size() is a multiple of `block_bytes`, planes.size() is bytes.size(). With base bytes (as
// many), the planes of the XOR of both.
void SplitPlanes(std::span<const std::byte> bytes, std::span<const std::byte> base,
                 size_t block_bytes, std::span<std::byte> planes);
// The inverse.
void JoinPlanes(std::span<const std::byte> planes, std::span<const std::byte> base,
                size_t block_bytes, std::span<std::byte> bytes);

}  // namespace gguf_shard
