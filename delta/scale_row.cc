#include "delta/scale_row.h"

#include <bit>

#include "delta/wide.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace gguf_shard {
namespace {

constexpr int32_t kLargestShift = 38;  // beyond: 0, or the limit

GS_WIDE inline double PowerOfTwo(int32_t exponent) {
  return std::bit_cast<double>(static_cast<uint64_t>(1023 + exponent) << 52);
}

GS_WIDE inline int32_t RatioOf(int32_t a, int32_t b, int32_t shift, int32_t limit) {
  const int32_t inside = shift > 60 ? 60 : shift < -60 ? -60 : shift;
  const double divisor = b == 0 ? 1 : b;
  double quotient = a / divisor * PowerOfTwo(inside);
  const double bound = limit;
  quotient = quotient > bound ? bound : quotient;
  quotient = quotient < -bound ? -bound : quotient;
  const int32_t beyond = (a ^ b) < 0 ? -limit : limit;
  const int32_t ratio = shift > kLargestShift ? beyond : static_cast<int32_t>(quotient);
  return a == 0 || b == 0 ? 0 : ratio;
}

GS_WIDE inline int32_t LevelOf(int32_t mantissa, int32_t exponent) {
  // As a float: its exponent is the octave, its fraction says which half.
  constexpr int32_t kUpperHalf = 0x3504F4;  // from the root of 2 on
  const auto bits = std::bit_cast<int32_t>(static_cast<float>(mantissa < 0 ? -mantissa : mantissa));
  const int32_t octave = (bits >> 23) - 127;
  const int32_t half = (bits & 0x7fffff) >= kUpperHalf ? 1 : 0;
  const int32_t level = 2 * (octave + exponent) + half + 128;
  const int32_t inside = level < 1 ? 1 : level > 255 ? 255 : level;
  return mantissa == 0 ? 1 : inside;
}

#if defined(__x86_64__)
// Eight ratios, shifts beyond the largest not yet looked at.
GS_TARGET_AVX512 inline __m256i QuotientsOf8(const int32_t* a, const int32_t* b,
                                             const int32_t* shift, int32_t limit) {
  const __m256i divisors = _mm256_load_si256(reinterpret_cast<const __m256i*>(b));
  const __m256i dividends = _mm256_load_si256(reinterpret_cast<const __m256i*>(a));
  const __m256i shifts = _mm256_load_si256(reinterpret_cast<const __m256i*>(shift));
  const __mmask8 valid = _mm256_test_epi32_mask(divisors, divisors);
  const __m512d quotients = _mm512_scalef_pd(
      _mm512_maskz_div_pd(valid, _mm512_cvtepi32_pd(dividends), _mm512_cvtepi32_pd(divisors)),
      _mm512_cvtepi32_pd(shifts));
  const __m512d bound = _mm512_set1_pd(limit);
  const __m512d inside =
      _mm512_max_pd(_mm512_min_pd(quotients, bound), _mm512_sub_pd(_mm512_setzero_pd(), bound));
  return _mm512_cvttpd_epi32(inside);
}

GS_TARGET_AVX512 void FixedRatiosAvx512(const ScaleRow& a, const ScaleRow& b, uint32_t count,
                                        int32_t limit, Row<int32_t>& ratios) {
  const __m512i dividends = _mm512_load_si512(a.mantissa.data());
  const __m512i divisors = _mm512_load_si512(b.mantissa.data());
  const __m512i shifts = _mm512_add_epi32(
      _mm512_sub_epi32(_mm512_load_si512(a.exponent.data()), _mm512_load_si512(b.exponent.data())),
      _mm512_set1_epi32(kFractionBits));
  alignas(64) Row<int32_t> shift;
  _mm512_store_si512(shift.data(), shifts);
  const __m256i low = QuotientsOf8(a.mantissa.data(), b.mantissa.data(), shift.data(), limit);
  const __m256i high = count <= 8 ? low
                                  : QuotientsOf8(a.mantissa.data() + 8, b.mantissa.data() + 8,
                                                 shift.data() + 8, limit);
  const __m512i inside = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
  const __mmask16 negative =
      _mm512_cmplt_epi32_mask(_mm512_xor_si512(dividends, divisors), _mm512_setzero_si512());
  const __m512i beyond =
      _mm512_mask_blend_epi32(negative, _mm512_set1_epi32(limit), _mm512_set1_epi32(-limit));
  const __mmask16 is_beyond = _mm512_cmpgt_epi32_mask(shifts, _mm512_set1_epi32(kLargestShift));
  const __mmask16 valid =
      _mm512_test_epi32_mask(dividends, dividends) & _mm512_test_epi32_mask(divisors, divisors);
  _mm512_storeu_si512(ratios.data(), _mm512_maskz_mov_epi32(
                                         valid, _mm512_mask_mov_epi32(inside, is_beyond, beyond)));
}
#endif

}  // namespace

void MultiplyRow(Scale scale, const Row<int16_t>& factors, ScaleRow& products) {
  const auto mantissa = static_cast<int32_t>(scale.mantissa);
  RunWide([mantissa, exponent = scale.exponent, from = factors.data(),
           to = products.mantissa.data(), exponents = products.exponent.data()]() GS_WIDE {
    for (uint32_t i = 0; i < kRowScales; ++i) to[i] = mantissa * from[i];
    for (uint32_t i = 0; i < kRowScales; ++i) exponents[i] = exponent;
  });
}

void FixedRatios(const ScaleRow& a, const ScaleRow& b, uint32_t count, int32_t limit,
                 Row<int32_t>& ratios) {
#if defined(__x86_64__)
  if (WideInUse() == Wide::kAvx512) return FixedRatiosAvx512(a, b, count, limit, ratios);
#endif
  RunWide([&]() GS_WIDE {
    for (uint32_t i = 0; i < count; ++i) {
      const int32_t shift = a.exponent[i] - b.exponent[i] + static_cast<int32_t>(kFractionBits);
      ratios[i] = RatioOf(a.mantissa[i], b.mantissa[i], shift, limit);
    }
  });
}

void ScaleLevels(const ScaleRow& scales, Row<int32_t>& levels) {
  RunWide([&]() GS_WIDE {
    for (uint32_t i = 0; i < kRowScales; ++i) {
      levels[i] = LevelOf(scales.mantissa[i], scales.exponent[i]);
    }
  });
}

}  // namespace gguf_shard
