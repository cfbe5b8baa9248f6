#include "core/plain_read.h"

#include <cstring>
#include <numeric>

#include "core/check.h"

namespace gguf_shard {

// Compiled for wide loads too: narrow ones keep fewer lines in flight. Sanitizers are not ready
// when the loader chooses.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
__attribute__((target_clones("avx512f", "avx2", "default")))
#endif
uint64_t
PlainRead(const std::byte* bytes, uint64_t byte_size) {
  GS_CHECK(byte_size % 256 == 0);
  uint64_t sums[32] = {};
  for (uint64_t i = 0; i < byte_size; i += 256) {
    uint64_t words[32];
    std::memcpy(words, bytes + i, sizeof words);
    for (int k = 0; k < 32; ++k) sums[k] += words[k];
  }
  return std::accumulate(sums, sums + 32, uint64_t{0});
}

}  // namespace gguf_shard
