#include "core/crc32.h"

#include <isa-l/crc.h>

namespace gguf_shard {
namespace {

// ISA-L's widest kernel leaves the upper halves of vector registers in use. Narrow vector
// instructions, which compilers put everywhere, then wait for them: a page's tag takes three times
// as long.
void ReleaseUpperHalves() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx")) __asm__ volatile("vzeroupper");
#endif
}

}  // namespace

uint32_t Crc32(uint32_t crc, std::span<const std::byte> bytes) {
  if (bytes.empty()) return crc;
  // ISA-L takes and returns the same finished value as zlib's crc32().
  const uint32_t result =
      crc32_gzip_refl(crc, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  ReleaseUpperHalves();
  return result;
}

}  // namespace gguf_shard
