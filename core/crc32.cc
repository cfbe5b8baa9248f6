#include "core/crc32.h"

#include <isa-l/crc.h>

namespace gguf_shard {

uint32_t Crc32(uint32_t crc, std::span<const std::byte> bytes) {
  if (bytes.empty()) return crc;
  // ISA-L takes and returns the same finished value as zlib's crc32().
  return crc32_gzip_refl(crc, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
}

}  // namespace gguf_shard
