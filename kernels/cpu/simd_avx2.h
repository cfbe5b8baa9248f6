// Vectors of 8 lanes: AVX2, FMA, F16C. Only for sources that kernels/flags.cmake compiles with
// these. Thread-safety: pure functions.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/simd_common.h"

namespace gguf_shard::avx2 {

struct Simd : VectorBase<Simd, 8> {
  static constexpr uint32_t kMaxTokensAtOnce = 4;
  static constexpr uint32_t kMaxTokensUnrolled = 4;
  static constexpr bool kUsualTiles = true;  // kernels of their own for usual tile heights
  static constexpr bool kPairs = false;      // two vectors of rows at once

  static GS_INLINE U32 LoadU16(const void* source) {
    return (U32)_mm256_cvtepu16_epi32(_mm_loadu_si128(static_cast<const __m128i*>(source)));
  }
  static GS_INLINE U32 LoadU8(const void* source) {
    return (U32)_mm256_cvtepu8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(source)));
  }
  static GS_INLINE F32 LoadF16(const void* source) {
    return (F32)_mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(source)));
  }
  static GS_INLINE void StoreF16(void* target, F32 value) {
    _mm_storeu_si128(static_cast<__m128i*>(target),
                     _mm256_cvtps_ph((__m256)value, _MM_FROUND_TO_NEAREST_INT));
  }
  // Of the low 16 bits of each lane.
  static GS_INLINE F32 F16ToF32(U32 bits) {
    const __m256i low = _mm256_and_si256((__m256i)bits, _mm256_set1_epi32(0xffff));
    const __m256i packed = _mm256_packus_epi32(low, low);
    const __m256i ordered = _mm256_permute4x64_epi64(packed, 0x08);
    return (F32)_mm256_cvtph_ps(_mm256_castsi256_si128(ordered));
  }
  static GS_INLINE F32 ToF32(I32 value) { return (F32)_mm256_cvtepi32_ps((__m256i)value); }
  // Of integers below 2^31.
  static GS_INLINE F32 ToF32(U32 value) { return ToF32((I32)value); }
  static GS_INLINE F32 MulAdd(F32 a, F32 b, F32 c) {
    return (F32)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
  }
  // The second operand when either is NaN.
  static GS_INLINE F32 Max(F32 a, F32 b) { return (F32)_mm256_max_ps((__m256)a, (__m256)b); }
  static GS_INLINE F32 Min(F32 a, F32 b) { return (F32)_mm256_min_ps((__m256)a, (__m256)b); }
  // Signed bytes to f32.
  static GS_INLINE F32 LoadI8(const void* source) {
    const __m128i bytes = _mm_loadl_epi64(static_cast<const __m128i*>(source));
    return (F32)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
  }

  // Replaces each byte, 0..15, by table[byte].
  static GS_INLINE U32 LookUp(const uint8_t (&table)[16], U32 indices) {
    const __m128i lane = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
    return (U32)_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(lane), (__m256i)indices);
  }

  // Bits 4i..4i+3 of each lane become bit 4 of its four bytes.
  template <uint32_t kIndex>
  static GS_INLINE U32 FifthBits(U32 bits) {
    // Bit b times 2^(7b + 4) lands on bit 8b + 4; no two products meet on a bit.
    return ((bits >> (4 * kIndex) & 15u) * 0x02040810u) & 0x10101010u;
  }

  // A product of an unsigned byte and a signed one needs 16 bits, and vpmaddubsw adds two of them
  // with saturation. Weights up to 63 leave room: 2 * 63 * 128 < 32768; smaller ones for several
  // additions before the sums are widened. Larger weights are cut into nibbles.
  //
  // sum over bytes of weight * (256 * high + low), exact.
  template <uint32_t kMaxWeight, uint32_t kWords>
  static GS_INLINE I32 Dot(const U32 (&words)[kWords], const int8_t* high, const int8_t* low) {
    const __m256i high_sum = PlaneDot<kMaxWeight>(words, high);
    const __m256i low_sum = PlaneDot<kMaxWeight>(words, low);
    return (I32)_mm256_add_epi32(_mm256_slli_epi32(high_sum, 8), low_sum);
  }

 protected:
  static GS_INLINE __m256i Broadcast(const int8_t* four_bytes) {
    int32_t word;
    __builtin_memcpy(&word, four_bytes, sizeof word);
    return _mm256_set1_epi32(word);
  }

 private:
  static GS_INLINE __m256i Widen(__m256i pairs) {
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
  }

  template <uint32_t kMaxWeight, uint32_t kWords>
  static GS_INLINE __m256i PlaneDot(const U32 (&words)[kWords], const int8_t* x) {
    if constexpr (kMaxWeight > 63) {
      return NibblePlaneDot(words, x);
    } else {
      constexpr uint32_t kAdditions = 32767 / (2 * kMaxWeight * 128);
      __m256i sum = _mm256_setzero_si256();
#pragma GCC unroll 8
      for (uint32_t first = 0; first < kWords; first += kAdditions) {
        __m256i pairs = _mm256_maddubs_epi16((__m256i)words[first], Broadcast(x + first * 4));
        for (uint32_t w = first + 1;
             w < (first + kAdditions < kWords ? first + kAdditions : kWords); ++w) {
          pairs = _mm256_add_epi16(pairs,
                                   _mm256_maddubs_epi16((__m256i)words[w], Broadcast(x + w * 4)));
        }
        sum = _mm256_add_epi32(sum, Widen(pairs));
      }
      return sum;
    }
  }

  template <uint32_t kWords>
  static GS_INLINE __m256i NibblePlaneDot(const U32 (&words)[kWords], const int8_t* x) {
    static_assert(kWords <= 8, "eight additions of 2 * 15 * 128 fit 16 bits, nine do not");
    const __m256i mask = _mm256_set1_epi8(15);
    __m256i low_pairs = _mm256_setzero_si256();
    __m256i high_pairs = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (uint32_t w = 0; w < kWords; ++w) {
      const __m256i word = (__m256i)words[w];
      const __m256i values = Broadcast(x + w * 4);
      const __m256i low = _mm256_and_si256(word, mask);
      const __m256i high = _mm256_and_si256(_mm256_srli_epi16(word, 4), mask);
      low_pairs = _mm256_add_epi16(low_pairs, _mm256_maddubs_epi16(low, values));
      high_pairs = _mm256_add_epi16(high_pairs, _mm256_maddubs_epi16(high, values));
    }
    return _mm256_add_epi32(_mm256_slli_epi32(Widen(high_pairs), 4), Widen(low_pairs));
  }
};

}  // namespace gguf_shard::avx2
