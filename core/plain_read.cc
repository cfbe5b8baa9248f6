#include "core/plain_read.h"

#include <cstring>

#include "core/check.h"

namespace gguf_shard {
namespace {

constexpr uint64_t kStepBytes = 256;

typedef uint64_t Words16 __attribute__((vector_size(16)));
#if defined(__x86_64__)
typedef uint64_t Words32 __attribute__((vector_size(32)));
typedef uint64_t Words64 __attribute__((vector_size(64)));
#endif

// Four sums, in registers. Vectors that the processor does not have would go through the stack.
template <class Words>
[[gnu::always_inline]] inline uint64_t SumOfWords(const std::byte* bytes, uint64_t byte_size) {
  Words sums[4] = {};
  for (uint64_t step = 0; step < byte_size; step += kStepBytes) {
#pragma GCC unroll 16
    for (size_t i = 0; i < kStepBytes / sizeof(Words); ++i) {
      Words words;
      std::memcpy(&words, bytes + step + i * sizeof words, sizeof words);
      sums[i % 4] += words;
    }
  }
  const Words sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  uint64_t total = 0;
  for (size_t i = 0; i < sizeof(Words) / sizeof(uint64_t); ++i) total += sum[i];
  return total;
}

#if defined(__x86_64__)
// Narrow loads keep fewer cache lines in flight.
[[gnu::target("avx512f")]] uint64_t SumByAvx512(const std::byte* bytes, uint64_t byte_size) {
  return SumOfWords<Words64>(bytes, byte_size);
}
[[gnu::target("avx2")]] uint64_t SumByAvx2(const std::byte* bytes, uint64_t byte_size) {
  return SumOfWords<Words32>(bytes, byte_size);
}
#endif

}  // namespace

uint64_t PlainRead(const std::byte* bytes, uint64_t byte_size) {
  GS_CHECK(byte_size % kStepBytes == 0);
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return SumByAvx512(bytes, byte_size);
  if (__builtin_cpu_supports("avx2")) return SumByAvx2(bytes, byte_size);
#endif
  return SumOfWords<Words16>(bytes, byte_size);
}

}  // namespace gguf_shard
