// Eight scales at once, for the parts of delta/ that have AVX-512. The same numbers as
// delta/prediction.h gives one by one. Thread-safety: pure functions.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>

#include "delta/scale_row.h"
#include "delta/wide.h"

namespace gguf_shard {

struct Scales8 {
  __m256i mantissa;
  __m256i exponent;
};

GS_TARGET_AVX512 inline Scales8 LoadScales(const ScaleRow& row, uint32_t first) {
  return {_mm256_load_si256(reinterpret_cast<const __m256i*>(row.mantissa.data() + first)),
          _mm256_load_si256(reinterpret_cast<const __m256i*>(row.exponent.data() + first))};
}

GS_TARGET_AVX512 inline Scales8 SameScales(Scale scale) {
  return {_mm256_set1_epi32(static_cast<int32_t>(scale.mantissa)),
          _mm256_set1_epi32(scale.exponent)};
}

// scale * factors[i].
GS_TARGET_AVX512 inline Scales8 MultiplyScale(Scale scale, const int16_t* factors) {
  const __m256i wide =
      _mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(factors)));
  const Scales8 same = SameScales(scale);
  return {_mm256_mullo_epi32(same.mantissa, wide), same.exponent};
}

// ScaleFromF16(halves[i]).
GS_TARGET_AVX512 inline Scales8 ScalesFromHalves(const uint16_t* halves) {
  const __m256i bits =
      _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(halves)));
  const __m256i fraction = _mm256_and_si256(bits, _mm256_set1_epi32(0x3ff));
  const __m256i exponent = _mm256_and_si256(_mm256_srli_epi32(bits, 10), _mm256_set1_epi32(0x1f));
  const __mmask8 normal = _mm256_test_epi32_mask(exponent, exponent);
  const __m256i magnitude =
      _mm256_mask_add_epi32(fraction, normal, fraction, _mm256_set1_epi32(1024));
  const __mmask8 negative = _mm256_test_epi32_mask(bits, _mm256_set1_epi32(0x8000));
  return {
      _mm256_mask_sub_epi32(magnitude, negative, _mm256_setzero_si256(), magnitude),
      _mm256_sub_epi32(_mm256_max_epi32(exponent, _mm256_set1_epi32(1)), _mm256_set1_epi32(25))};
}

// FixedRatio(a[i], b[i], limit).
GS_TARGET_AVX512 inline __m256i RatiosOf(const Scales8& a, const Scales8& b, int32_t limit) {
  const __m256i shift =
      _mm256_add_epi32(_mm256_sub_epi32(a.exponent, b.exponent), _mm256_set1_epi32(kFractionBits));
  const auto valid = static_cast<__mmask8>(_mm256_test_epi32_mask(a.mantissa, a.mantissa) &
                                           _mm256_test_epi32_mask(b.mantissa, b.mantissa));
  const __m512d quotients = _mm512_scalef_pd(
      _mm512_maskz_div_pd(valid, _mm512_cvtepi32_pd(a.mantissa), _mm512_cvtepi32_pd(b.mantissa)),
      _mm512_cvtepi32_pd(shift));
  const __m512d bound = _mm512_set1_pd(limit);
  const __m256i inside = _mm512_cvttpd_epi32(
      _mm512_max_pd(_mm512_min_pd(quotients, bound), _mm512_sub_pd(_mm512_setzero_pd(), bound)));
  const __mmask8 negative = _mm256_movepi32_mask(_mm256_xor_si256(a.mantissa, b.mantissa));
  const __m256i beyond =
      _mm256_mask_blend_epi32(negative, _mm256_set1_epi32(limit), _mm256_set1_epi32(-limit));
  const __mmask8 is_beyond = _mm256_cmpgt_epi32_mask(shift, _mm256_set1_epi32(kLargestShift));
  return _mm256_maskz_mov_epi32(valid, _mm256_mask_mov_epi32(inside, is_beyond, beyond));
}

// ScaleLevel(scales[i]). As a float, a mantissa has its octave in the exponent, and the fraction
// says which half of it.
GS_TARGET_AVX512 inline __m256i LevelsOf(const Scales8& scales) {
  constexpr int32_t kUpperHalf = 0x3504F4;  // from the root of 2 on
  const __m256i bits = _mm256_castps_si256(_mm256_cvtepi32_ps(_mm256_abs_epi32(scales.mantissa)));
  const __m256i octave = _mm256_sub_epi32(_mm256_srli_epi32(bits, 23), _mm256_set1_epi32(127));
  const __mmask8 upper = _mm256_cmpge_epi32_mask(
      _mm256_and_si256(bits, _mm256_set1_epi32(0x7fffff)), _mm256_set1_epi32(kUpperHalf));
  const __m256i doubled = _mm256_slli_epi32(_mm256_add_epi32(octave, scales.exponent), 1);
  const __m256i level = _mm256_add_epi32(_mm256_add_epi32(doubled, _mm256_set1_epi32(128)),
                                         _mm256_maskz_mov_epi32(upper, _mm256_set1_epi32(1)));
  const __m256i inside =
      _mm256_min_epi32(_mm256_max_epi32(level, _mm256_set1_epi32(1)), _mm256_set1_epi32(255));
  return _mm256_mask_mov_epi32(_mm256_set1_epi32(1),
                               _mm256_test_epi32_mask(scales.mantissa, scales.mantissa), inside);
}

}  // namespace gguf_shard

#endif
