// zstd frames of literals alone: bytes under Huffman codes, without a search for repeats. Several
// times as fast as zstd's quickest level, which searches and counts everything; any zstd decoder
// reads them. Thread-safety: a pure function.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace gguf_shard {

// Nothing where that would waste much: most symbols take less than a bit.
std::optional<std::vector<std::byte>> LiteralFrame(std::span<const std::byte> bytes);

}  // namespace gguf_shard
