// Vectors of 16 lanes: AVX-512 F, BW, VL, DQ, VNNI. Only for sources that kernels/flags.cmake
// compiles with these. Thread-safety: pure functions.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/simd_common.h"

namespace gguf_shard::avx512 {

struct Simd : VectorBase<Simd, 16> {
  static constexpr uint32_t kMaxTokensAtOnce = 16;
  static constexpr uint32_t kMaxTokensUnrolled = 8;
  static constexpr bool kUsualTiles = true;  // kernels of their own for usual tile heights
  static constexpr bool kPairs = true;       // two vectors of rows at once

  static GS_INLINE U32 LoadU16(const void* source) {
    return (U32)_mm512_cvtepu16_epi32(_mm256_loadu_si256(static_cast<const __m256i*>(source)));
  }
  static GS_INLINE U32 LoadU8(const void* source) {
    return (U32)_mm512_cvtepu8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(source)));
  }
  static GS_INLINE F32 LoadF16(const void* source) {
    return (F32)_mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(source)));
  }
  static GS_INLINE void StoreF16(void* target, F32 value) {
    _mm256_storeu_si256(static_cast<__m256i*>(target),
                        _mm512_cvtps_ph((__m512)value, _MM_FROUND_TO_NEAREST_INT));
  }
  // Of the low 16 bits of each lane.
  static GS_INLINE F32 F16ToF32(U32 bits) {
    return (F32)_mm512_cvtph_ps(_mm512_cvtepi32_epi16((__m512i)bits));
  }
  static GS_INLINE F32 ToF32(I32 value) { return (F32)_mm512_cvtepi32_ps((__m512i)value); }
  // Of integers below 2^31.
  static GS_INLINE F32 ToF32(U32 value) { return ToF32((I32)value); }
  static GS_INLINE F32 MulAdd(F32 a, F32 b, F32 c) {
    return (F32)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
  }
  // The second operand when either is NaN.
  static GS_INLINE F32 Max(F32 a, F32 b) { return (F32)_mm512_max_ps((__m512)a, (__m512)b); }
  static GS_INLINE F32 Min(F32 a, F32 b) { return (F32)_mm512_min_ps((__m512)a, (__m512)b); }
  // Signed bytes to f32.
  static GS_INLINE F32 LoadI8(const void* source) {
    const __m128i bytes = _mm_loadu_si128(static_cast<const __m128i*>(source));
    return (F32)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
  }

  // Replaces each byte, 0..15, by table[byte].
  static GS_INLINE U32 LookUp(const uint8_t (&table)[16], U32 indices) {
    const __m128i lane = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
    return (U32)_mm512_shuffle_epi8(_mm512_broadcast_i32x4(lane), (__m512i)indices);
  }

  // Bits 4i..4i+3 of each lane become bit 4 of its four bytes.
  template <uint32_t kIndex>
  static GS_INLINE U32 FifthBits(U32 bits) {
    constexpr int kByte = kIndex / 2;
    constexpr int kBits = kIndex % 2 == 0 ? 0x08040201 : int(0x80402010);
    const __m512i spread =
        _mm512_setr_epi32(0x00000000 + kByte * 0x01010101, 0x04040404 + kByte * 0x01010101,
                          0x08080808 + kByte * 0x01010101, 0x0c0c0c0c + kByte * 0x01010101,
                          0x00000000 + kByte * 0x01010101, 0x04040404 + kByte * 0x01010101,
                          0x08080808 + kByte * 0x01010101, 0x0c0c0c0c + kByte * 0x01010101,
                          0x00000000 + kByte * 0x01010101, 0x04040404 + kByte * 0x01010101,
                          0x08080808 + kByte * 0x01010101, 0x0c0c0c0c + kByte * 0x01010101,
                          0x00000000 + kByte * 0x01010101, 0x04040404 + kByte * 0x01010101,
                          0x08080808 + kByte * 0x01010101, 0x0c0c0c0c + kByte * 0x01010101);
    const __mmask64 set =
        _mm512_test_epi8_mask(_mm512_shuffle_epi8((__m512i)bits, spread), _mm512_set1_epi32(kBits));
    return (U32)_mm512_maskz_mov_epi8(set, _mm512_set1_epi8(16));
  }

  // sum over bytes of weight * (256 * high + low), exact.
  template <uint32_t kMaxWeight, uint32_t kWords>
  static GS_INLINE I32 Dot(const U32 (&words)[kWords], const int8_t* high, const int8_t* low) {
    __m512i high_sum = _mm512_setzero_si512();
    __m512i low_sum = _mm512_setzero_si512();
#pragma GCC unroll 8
    for (uint32_t w = 0; w < kWords; ++w) {
      const __m512i word = (__m512i)words[w];
      high_sum = _mm512_dpbusd_epi32(high_sum, word, Broadcast(high + w * 4));
      low_sum = _mm512_dpbusd_epi32(low_sum, word, Broadcast(low + w * 4));
    }
    return (I32)_mm512_add_epi32(_mm512_slli_epi32(high_sum, 8), low_sum);
  }

  // The same for two vectors of rows, in four sums side by side.
  template <uint32_t kWords, class Pair>
  static GS_INLINE void DotPair(const Pair (&words)[kWords], const int8_t* high, const int8_t* low,
                                I32* a, I32* b) {
    __m512i high_a = _mm512_setzero_si512();
    __m512i high_b = high_a;
    __m512i low_a = high_a;
    __m512i low_b = high_a;
#pragma GCC unroll 8
    for (uint32_t w = 0; w < kWords; ++w) {
      const __m512i high_x = Broadcast(high + w * 4);
      const __m512i low_x = Broadcast(low + w * 4);
      high_a = _mm512_dpbusd_epi32(high_a, (__m512i)words[w].a, high_x);
      high_b = _mm512_dpbusd_epi32(high_b, (__m512i)words[w].b, high_x);
      low_a = _mm512_dpbusd_epi32(low_a, (__m512i)words[w].a, low_x);
      low_b = _mm512_dpbusd_epi32(low_b, (__m512i)words[w].b, low_x);
    }
    *a = (I32)_mm512_add_epi32(_mm512_slli_epi32(high_a, 8), low_a);
    *b = (I32)_mm512_add_epi32(_mm512_slli_epi32(high_b, 8), low_b);
  }

 private:
  static GS_INLINE __m512i Broadcast(const int8_t* four_bytes) {
    int32_t word;
    __builtin_memcpy(&word, four_bytes, sizeof word);
    return _mm512_set1_epi32(word);
  }
};

}  // namespace gguf_shard::avx512
