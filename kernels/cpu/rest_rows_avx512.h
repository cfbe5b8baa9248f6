// Rows 15 to 18 of a tile of Q6_K, whose usual height is 19: a vector holds four words of four
// rows, which are the sixteen columns of a sub-block. Tiles are then multiplied in four fifths of
// the time that two vectors of rows take.
//
//   lanes   0..3      4..7        8..11       12..15
//         +---------+-----------+-----------+------------+
//         | word 0  | word 1    | word 2    | word 3     |   each of rows 15, 16, 17, 18
//         +---------+-----------+-----------+------------+
//
// Only for sources that kernels/flags.cmake compiles with AVX-512. Thread-safety: pure functions.
#pragma once

#include "kernels/activations.h"
#include "kernels/cpu/decode_256_sub16.h"
#include "kernels/cpu/rest_rows.h"
#include "kernels/cpu/simd_avx512.h"

namespace gguf_shard {

template <>
struct RestRows<DecodeQ6K<avx512::Simd>> {
  static constexpr uint32_t kRows = 4;

  template <class Planes>
  static GS_INLINE void Block(const Planes& planes, const ActivationGroup* group,
                              const ActivationFactors* factor, const std::byte* ahead,
                              uint32_t lines, avx512::Simd::F32& sums) {
    const __m128 d = _mm_cvtph_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(planes.shorts)));
    const __m512 d4 = _mm512_broadcast_f32x4(d);
    __m128 four_sums = _mm512_castps512_ps128((__m512)sums);
    FetchLines(ahead, lines / 2);
    Half<0>(planes, group, factor, d4, &four_sums);
    FetchLines(ahead + lines / 2 * 64, lines / 2);
    Half<1>(planes, group, factor, d4, &four_sums);
    sums = (avx512::Simd::F32)_mm512_castps128_ps512(four_sums);
  }

 private:
  // Words `word` to `word` + 3.
  template <class Planes>
  static GS_INLINE __m512i Words(const Planes& planes, uint32_t word) {
    const std::byte* first = planes.words + word * planes.word_stride();
    __m512i words = _mm512_castsi128_si512(Load(first));
    words = _mm512_inserti32x4(words, Load(first + planes.word_stride()), 1);
    words = _mm512_inserti32x4(words, Load(first + 2 * planes.word_stride()), 2);
    return _mm512_inserti32x4(words, Load(first + 3 * planes.word_stride()), 3);
  }
  static GS_INLINE __m128i Load(const std::byte* source) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(source));
  }

  // Four columns of activations to each four lanes: words kFirst to kFirst + 3 of a group.
  template <int kFirst>
  static GS_INLINE __m512i Spread(__m512i group) {
    const __m512i places = _mm512_setr_epi32(
        kFirst, kFirst, kFirst, kFirst, kFirst + 1, kFirst + 1, kFirst + 1, kFirst + 1, kFirst + 2,
        kFirst + 2, kFirst + 2, kFirst + 2, kFirst + 3, kFirst + 3, kFirst + 3, kFirst + 3);
    return _mm512_permutexvar_epi32(places, group);
  }

  // kOdd: of the second sub-block of a quarter.
  template <int kQuarter, int kOdd>
  static GS_INLINE __m512i Dot(__m512i low, __m512i high, __m512i group) {
    const __m512i four = kQuarter < 2 ? low : _mm512_srli_epi32(low, 4);
    const __m512i two = kQuarter == 3   ? _mm512_srli_epi32(high, 2)
                        : kQuarter == 2 ? high
                        : kQuarter == 1 ? _mm512_slli_epi32(high, 2)
                                        : _mm512_slli_epi32(high, 4);
    const __m512i words = _mm512_or_si512(_mm512_and_si512(four, _mm512_set1_epi32(kLowNibbles)),
                                          _mm512_and_si512(two, _mm512_set1_epi32(0x30303030)));
    const __m512i zero = _mm512_setzero_si512();
    const __m512i high_sum = _mm512_dpbusd_epi32(zero, words, Spread<kOdd * 4>(group));
    const __m512i low_sum = _mm512_dpbusd_epi32(zero, words, Spread<8 + kOdd * 4>(group));
    return _mm512_add_epi32(_mm512_slli_epi32(high_sum, 8), low_sum);
  }

  // The sums over the quarters of four vectors, one quarter to each.
  static GS_INLINE __m512i SumQuarters(const __m512i* vectors) {
    const __m512i a = SumHalves(vectors[0], vectors[1]);
    const __m512i b = SumHalves(vectors[2], vectors[3]);
    return _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd));
  }
  static GS_INLINE __m512i SumHalves(__m512i a, __m512i b) {
    return _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x44), _mm512_shuffle_i32x4(a, b, 0xee));
  }

  template <int kHalf, class Planes>
  static GS_INLINE void Half(const Planes& planes, const ActivationGroup* group,
                             const ActivationFactors* factor, __m512 d, __m128* sums) {
    __m512i dots[8];
    Columns<kHalf, 0>(planes, group, dots);
    Columns<kHalf, 1>(planes, group, dots);
    AddFour<kHalf * 8>(planes, factor + kHalf * 4, d, dots, sums);
    AddFour<kHalf * 8 + 4>(planes, factor + kHalf * 4 + 2, d, dots + 4, sums);
  }
  // Every second sub-block of a half.
  template <int kHalf, int kOdd, class Planes>
  static GS_INLINE void Columns(const Planes& planes, const ActivationGroup* group,
                                __m512i (&dots)[8]) {
    const __m512i low_even = Words(planes, kHalf * 16 + kOdd * 4);
    const __m512i low_odd = Words(planes, kHalf * 16 + 8 + kOdd * 4);
    const __m512i high = Words(planes, 32 + kHalf * 8 + kOdd * 4);
    const auto* x = reinterpret_cast<const __m512i*>(group + kHalf * 4);
    dots[kOdd] = Dot<0, kOdd>(low_even, high, _mm512_loadu_si512(x));
    dots[2 + kOdd] = Dot<1, kOdd>(low_odd, high, _mm512_loadu_si512(x + 1));
    dots[4 + kOdd] = Dot<2, kOdd>(low_even, high, _mm512_loadu_si512(x + 2));
    dots[6 + kOdd] = Dot<3, kOdd>(low_odd, high, _mm512_loadu_si512(x + 3));
  }

  // Sub-blocks kSub to kSub + 3, `factor` that of the first.
  template <int kSub, class Planes>
  static GS_INLINE void AddFour(const Planes& planes, const ActivationFactors* factor, __m512 d,
                                const __m512i* dots, __m128* sums) {
    const __m512i scale_places = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 4, 4, 4, 4, 4, 4, 4, 4);
    const __m512 x_scale = _mm512_permutexvar_ps(
        scale_places, _mm512_castps256_ps512(_mm256_loadu_ps(&factor->scale)));
    const __m512 product = _mm512_mul_ps(_mm512_cvtepi32_ps(SumQuarters(dots)), x_scale);
    const __m512 scale = _mm512_mul_ps(d, Scales<kSub>(planes));
    Add<0>(product, scale, factor[0].half_sum[0], sums);
    Add<1>(product, scale, factor[0].half_sum[1], sums);
    Add<2>(product, scale, factor[1].half_sum[0], sums);
    Add<3>(product, scale, factor[1].half_sum[1], sums);
  }
  // Four signed bytes of each row, one to each four lanes.
  template <int kSub, class Planes>
  static GS_INLINE __m512 Scales(const Planes& planes) {
    const __m512i packed =
        _mm512_broadcast_i32x4(Load(planes.words + (48 + kSub / 4) * planes.word_stride()));
    const __m512i shifts =
        _mm512_setr_epi32(24, 24, 24, 24, 16, 16, 16, 16, 8, 8, 8, 8, 0, 0, 0, 0);
    return _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_sllv_epi32(packed, shifts), 24));
  }
  template <int kIndex>
  static GS_INLINE void Add(__m512 product, __m512 scale, float x_sum, __m128* sums) {
    const __m128 own_scale = _mm512_extractf32x4_ps(scale, kIndex);
    const __m128 offset = _mm_mul_ps(own_scale, _mm_set1_ps(-32.0f));
    *sums = _mm_fmadd_ps(_mm512_extractf32x4_ps(product, kIndex), own_scale, *sums);
    *sums = _mm_fmadd_ps(offset, _mm_set1_ps(x_sum), *sums);
  }
};

}  // namespace gguf_shard
