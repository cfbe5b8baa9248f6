// AVX2 plus the 256-bit byte products of AVX-VNNI: what processors without AVX-512 have since 2021
// (Intel) and 2024 (AMD). Only for sources that kernels/flags.cmake compiles with these. Vector
// operations beside the products are those of AVX2. Thread-safety: pure functions.
#pragma once

#include "kernels/cpu/simd_avx2.h"

namespace gguf_shard::avxvnni {

struct Simd : avx2::Simd {
  // sum over bytes of weight * (256 * high + low), exact: vpdpbusd adds four products to 32 bits
  // and saturates nothing, so weights of 8 bits need no cutting.
  template <uint32_t kMaxWeight, uint32_t kWords>
  static GS_INLINE I32 Dot(const U32 (&words)[kWords], const int8_t* high, const int8_t* low) {
    __m256i high_sum = _mm256_setzero_si256();
    __m256i low_sum = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (uint32_t w = 0; w < kWords; ++w) {
      const __m256i word = (__m256i)words[w];
      high_sum = _mm256_dpbusd_avx_epi32(high_sum, word, Broadcast(high + w * 4));
      low_sum = _mm256_dpbusd_avx_epi32(low_sum, word, Broadcast(low + w * 4));
    }
    return (I32)_mm256_add_epi32(_mm256_slli_epi32(high_sum, 8), low_sum);
  }
};

}  // namespace gguf_shard::avxvnni
