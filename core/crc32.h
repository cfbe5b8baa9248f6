// CRC-32 (zlib/IEEE polynomial), incremental like zlib's crc32(). Uses ISA-L's folding kernels.
// Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace gguf_shard {

uint32_t Crc32(uint32_t crc, std::span<const std::byte> bytes);

}  // namespace gguf_shard
