// Loops that the processor's wide instructions run, beside plain ones that give the same bits.
//
// RunWide(body) calls `body`, compiled once for every processor and, on x86-64, once more for AVX2
// and for AVX-512; which is called is decided when the program runs. A body is a lambda marked
// GS_WIDE; what it calls must be small enough to be inlined. Thread-safety: thread-safe.
#pragma once

#include <cstdint>

#define GS_WIDE __attribute__((always_inline))
#if defined(__x86_64__)
#define GS_TARGET_AVX2 __attribute__((target("avx2")))
#define GS_TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))
#else
#define GS_TARGET_AVX2
#define GS_TARGET_AVX512
#endif

namespace gguf_shard {

enum class Wide : uint8_t { kNone, kAvx2, kAvx512 };

// The widest that processor and operating system have, or less if a test says so.
Wide WideInUse();
// For tests: nothing wider than this from now on.
void LimitWide(Wide limit);

template <typename Body>
GS_TARGET_AVX2 void RunAvx2(const Body& body) {
  body();
}
template <typename Body>
GS_TARGET_AVX512 void RunAvx512(const Body& body) {
  body();
}

template <typename Body>
inline void RunWide(const Body& body) {
  switch (WideInUse()) {
    case Wide::kAvx512:
      return RunAvx512(body);
    case Wide::kAvx2:
      return RunAvx2(body);
    case Wide::kNone:
      break;
  }
  body();
}

}  // namespace gguf_shard
