// zstd with the limits and errors of the project. Thread-safety: pure functions.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "core/error.h"

namespace gguf_shard {

// With `reference`, the reference's bytes may be copied from (as if they came before).
// `level`: zstd's own, or kZstdHuffmanLevel: next to no search for repeats, all entropy coding.
inline constexpr int kZstdHuffmanLevel = -100;
std::vector<std::byte> ZstdCompress(std::span<const std::byte> bytes, int level,
                                    std::span<const std::byte> reference = {});
// Fails unless the result has exactly target.size() bytes.
Result<void> ZstdDecompress(std::span<const std::byte> compressed, std::span<std::byte> target,
                            std::span<const std::byte> reference = {});

}  // namespace gguf_shard
