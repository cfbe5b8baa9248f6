#include "delta/quant_predict.h"

#include "delta/scales_avx512.h"
#include "delta/wide.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace gguf_shard {
namespace {

constexpr int32_t kCodebookLow = -140;  // positions outside are as good as these
constexpr int32_t kCodebookHigh = 130;

// Where a position between the levels of the IQ4 codebook falls.
struct CodebookPlace {
  uint8_t index;
  uint8_t quarter_and_edge;  // quarter + 4 edge
};

using CodebookPlaces = std::array<CodebookPlace, kCodebookHigh - kCodebookLow + 1>;

// The nearest level (the lower on a tie), and in which quarter of its range the position lies; the
// outermost ranges are as wide outward as inward.
constexpr CodebookPlace PlaceInCodebook(int32_t position) {
  int32_t index = 0;
  while (index < 15 && 2 * position > kIq4Codebook[index] + kIq4Codebook[index + 1]) ++index;
  const int32_t level = kIq4Codebook[index];
  const int32_t below = index > 0 ? level - kIq4Codebook[index - 1] : kIq4Codebook[1] - level;
  const int32_t above = index < 15 ? kIq4Codebook[index + 1] - level : level - kIq4Codebook[14];
  const int32_t offset = 2 * (position - level) + below;
  const int32_t edge = offset < 0               ? 3
                       : offset > below + above ? 4
                       : index == 0             ? 1
                       : index == 15            ? 2
                                                : 0;
  const int32_t quarter = std::clamp(4 * offset / (below + above), 0, 3);
  return {static_cast<uint8_t>(index), static_cast<uint8_t>(quarter + 4 * edge)};
}

constexpr CodebookPlaces MakeCodebookPlaces() {
  CodebookPlaces places{};
  for (int32_t p = kCodebookLow; p <= kCodebookHigh; ++p) {
    places[static_cast<size_t>(p - kCodebookLow)] = PlaceInCodebook(p);
  }
  return places;
}
constexpr CodebookPlaces kCodebookPlaces = MakeCodebookPlaces();

void PredictIndexes(const BaseView& base, const UnitPlaces& places, uint32_t weight_count,
                    const QuantPrediction& prediction) {
  for (uint32_t i = 0; i < weight_count; ++i) {
    const uint32_t unit = i / kViewUnit >> places.unit_shift;
    const int32_t position =
        (places.ratio[unit] * base.level[i] + places.start[unit] + (1 << (kFractionBits - 1))) >>
        kFractionBits;
    const CodebookPlace place = kCodebookPlaces[static_cast<size_t>(
        std::clamp(position, kCodebookLow, kCodebookHigh) - kCodebookLow)];
    prediction.quant[i] = static_cast<int8_t>(place.index);
    prediction.context[i] = static_cast<uint16_t>(
        4 * kQuantEdges * static_cast<uint32_t>(places.level[unit]) + place.quarter_and_edge);
  }
}

void PredictUnit(const StepRange& range, const UnitPlaces& places, uint32_t unit,
                 const int16_t* level, int8_t* quant, uint16_t* context) {
  const int32_t level_context = static_cast<int32_t>(4 * kQuantEdges) * places.level[unit];
  for (uint32_t i = 0; i < kViewUnit; ++i) {
    const StepPosition position = SplitPosition(places.ratio[unit] * level[i] + places.start[unit]);
    const int32_t step = position.step;
    // 0 inside; at the edges 1 and 2, beyond them 3 and 4.
    const int32_t edge = (step == range.low ? 1 : 0) + (step == range.high ? 2 : 0) +
                         (step < range.low ? 3 : 0) + (step > range.high ? 4 : 0);
    quant[i] = static_cast<int8_t>(std::clamp(step, range.low, range.high));
    context[i] = static_cast<uint16_t>(level_context + position.quarter + 4 * edge);
  }
}

#if defined(__x86_64__)
GS_TARGET_AVX512 inline __m512i Same16(int32_t value) { return _mm512_set1_epi32(value); }
GS_TARGET_AVX2 inline __m256i Same8(int32_t value) { return _mm256_set1_epi32(value); }

// The same, sixteen weights at a time.
GS_TARGET_AVX512 void PredictUnitAvx512(const StepRange& range, const UnitPlaces& places,
                                        uint32_t unit, const int16_t* level, int8_t* quant,
                                        uint16_t* context) {
  const __m512i low = Same16(range.low);
  const __m512i high = Same16(range.high);
  const __m512i levels =
      _mm512_cvtepi16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(level)));
  const __m512i fixed = _mm512_add_epi32(_mm512_mullo_epi32(levels, Same16(places.ratio[unit])),
                                         Same16(places.start[unit] + (1 << (kFractionBits - 3))));
  const __m512i quarters = _mm512_add_epi32(_mm512_srai_epi32(fixed, kFractionBits - 2), Same16(2));
  const __m512i step = _mm512_srai_epi32(quarters, 2);
  __m512i edge = _mm512_maskz_mov_epi32(_mm512_cmpeq_epi32_mask(step, low), Same16(4));
  edge = _mm512_mask_mov_epi32(edge, _mm512_cmpeq_epi32_mask(step, high), Same16(8));
  edge = _mm512_mask_mov_epi32(edge, _mm512_cmplt_epi32_mask(step, low), Same16(12));
  edge = _mm512_mask_mov_epi32(edge, _mm512_cmpgt_epi32_mask(step, high), Same16(16));
  const __m512i inside = _mm512_min_epi32(_mm512_max_epi32(step, low), high);
  const __m512i contexts =
      _mm512_add_epi32(_mm512_add_epi32(_mm512_and_si512(quarters, Same16(3)), edge),
                       Same16(static_cast<int32_t>(4 * kQuantEdges) * places.level[unit]));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(quant), _mm512_cvtepi32_epi8(inside));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(context), _mm512_cvtepi32_epi16(contexts));
}

struct EightPredictions {
  __m256i inside;
  __m256i contexts;
};

GS_TARGET_AVX2 inline EightPredictions PredictEight(const StepRange& range,
                                                    const UnitPlaces& places, uint32_t unit,
                                                    const int16_t* level) {
  const __m256i low = Same8(range.low);
  const __m256i high = Same8(range.high);
  const __m256i levels =
      _mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(level)));
  const __m256i fixed = _mm256_add_epi32(_mm256_mullo_epi32(levels, Same8(places.ratio[unit])),
                                         Same8(places.start[unit] + (1 << (kFractionBits - 3))));
  const __m256i quarters = _mm256_add_epi32(_mm256_srai_epi32(fixed, kFractionBits - 2), Same8(2));
  const __m256i step = _mm256_srai_epi32(quarters, 2);
  // The four cases exclude each other.
  const __m256i at = _mm256_or_si256(_mm256_and_si256(_mm256_cmpeq_epi32(step, low), Same8(4)),
                                     _mm256_and_si256(_mm256_cmpeq_epi32(step, high), Same8(8)));
  const __m256i beyond =
      _mm256_or_si256(_mm256_and_si256(_mm256_cmpgt_epi32(low, step), Same8(12)),
                      _mm256_and_si256(_mm256_cmpgt_epi32(step, high), Same8(16)));
  const __m256i edge = _mm256_or_si256(at, beyond);
  return {_mm256_min_epi32(_mm256_max_epi32(step, low), high),
          _mm256_add_epi32(_mm256_add_epi32(_mm256_and_si256(quarters, Same8(3)), edge),
                           Same8(static_cast<int32_t>(4 * kQuantEdges) * places.level[unit]))};
}

GS_TARGET_AVX2 void PredictUnitAvx2(const StepRange& range, const UnitPlaces& places, uint32_t unit,
                                    const int16_t* level, int8_t* quant, uint16_t* context) {
  const EightPredictions first = PredictEight(range, places, unit, level);
  const EightPredictions second = PredictEight(range, places, unit, level + 8);
  // Packing interleaves the halves of both.
  constexpr int kInOrder = 0xd8;
  const __m256i contexts =
      _mm256_permute4x64_epi64(_mm256_packus_epi32(first.contexts, second.contexts), kInOrder);
  const __m256i quants =
      _mm256_permute4x64_epi64(_mm256_packs_epi32(first.inside, second.inside), kInOrder);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(context), contexts);
  _mm_storeu_si128(
      reinterpret_cast<__m128i*>(quant),
      _mm_packs_epi16(_mm256_castsi256_si128(quants), _mm256_extracti128_si256(quants, 1)));
}

// PlaceUnits, eight units at a time, where what a unit shares is a block or a sub-block.
GS_TARGET_AVX512 void PlaceUnitsAvx512(const QuantFormat& format, const BaseView& base,
                                       const QuantGroup& target, int32_t noise,
                                       UnitPlaces& places) {
  const bool has_scales = format.scale_bits != 0;
  const Scale d = ScaleFromF16(target.d[0]);
  Scale m = ScaleFromF16(target.m[0]);
  if (format.m_is_subtracted) m.mantissa = -m.mantissa;
  const __m256i last = Same8(static_cast<int32_t>(kQuantLevels) - 1);
  for (uint32_t first = 0; first < kRowScales >> base.unit_shift; first += 8) {
    const Scales8 slopes = has_scales ? MultiplyScale(d, target.scale.data() + first)
                                      : ScalesFromHalves(target.d.data());
    const Scales8 base_offsets = LoadScales(base.offset, first);
    __m256i start = _mm256_setzero_si256();
    if (_mm256_test_epi32_mask(base_offsets.mantissa, base_offsets.mantissa) != 0) {
      start = RatiosOf(base_offsets, slopes, kMaxOffset);
    }
    if (format.has_m) {
      const Scales8 offsets = format.min_bits != 0 ? MultiplyScale(m, target.min.data() + first)
                                                   : ScalesFromHalves(target.m.data());
      start = _mm256_sub_epi32(start, RatiosOf(offsets, slopes, kMaxOffset));
    }
    start = _mm256_min_epi32(_mm256_max_epi32(start, Same8(-kMaxOffset)), Same8(kMaxOffset));
    const __m256i level = _mm256_sub_epi32(LevelsOf(slopes), Same8(noise - 4));
    _mm256_store_si256(reinterpret_cast<__m256i*>(places.ratio.data() + first),
                       RatiosOf(LoadScales(base.slope, first), slopes, kMaxRatio));
    _mm256_store_si256(reinterpret_cast<__m256i*>(places.start.data() + first), start);
    _mm256_store_si256(reinterpret_cast<__m256i*>(places.level.data() + first),
                       _mm256_min_epi32(_mm256_max_epi32(level, _mm256_setzero_si256()), last));
  }
}
#endif

using UnitPredictor = void (*)(const StepRange&, const UnitPlaces&, uint32_t, const int16_t*,
                               int8_t*, uint16_t*);
UnitPredictor UnitPredictorHere() {
#if defined(__x86_64__)
  if (WideInUse() == Wide::kAvx512) return PredictUnitAvx512;
  if (WideInUse() == Wide::kAvx2) return PredictUnitAvx2;
#endif
  return PredictUnit;
}

// FoldResidual and ApplyResidual in bytes: residuals wrap, so the lower bits are all that counts.
GS_WIDE inline void FoldBytes(const int8_t* __restrict predicted, const int8_t* __restrict quant,
                              uint32_t count, uint32_t shift, uint8_t* __restrict symbols) {
  for (uint32_t i = 0; i < count; ++i) {
    const auto residual = static_cast<uint8_t>(quant[i] - predicted[i]);
    const int32_t wrapped = static_cast<int8_t>(residual << shift) >> shift;
    symbols[i] = static_cast<uint8_t>(wrapped << 1 ^ wrapped >> 31);
  }
}
GS_WIDE inline void UnfoldBytes(const int8_t* __restrict predicted,
                                const uint8_t* __restrict symbols, uint32_t count, uint8_t mask,
                                uint8_t low, int8_t* __restrict quant) {
  for (uint32_t i = 0; i < count; ++i) {
    const auto sign = static_cast<uint8_t>(0 - (symbols[i] & 1));
    const auto residual = static_cast<uint8_t>(symbols[i] >> 1 ^ sign);
    const auto value = static_cast<uint8_t>(predicted[i] + residual - low);
    quant[i] = static_cast<int8_t>(static_cast<uint8_t>((value & mask) + low));
  }
}

}  // namespace

void PlaceUnits(const QuantFormat& format, const BaseView& base, const QuantGroup& target,
                int32_t noise, UnitPlaces& places) {
  places.unit_shift = base.unit_shift;
#if defined(__x86_64__)
  if (WideInUse() == Wide::kAvx512 && format.sub_weights == kViewUnit << base.unit_shift) {
    return PlaceUnitsAvx512(format, base, target, noise, places);
  }
#endif
  const uint32_t count = kRowScales >> base.unit_shift;
  ScaleRow slopes;
  UnitSlopes(format, target, base.unit_shift, slopes);
  Row<int32_t> target_start{};
  if (format.has_m) {
    ScaleRow offsets;
    UnitOffsets(format, target, base.unit_shift, offsets);
    FixedRatios(offsets, slopes, count, kMaxOffset, target_start);
  }
  FixedRatios(base.slope, slopes, count, kMaxRatio, places.ratio);
  FixedRatios(base.offset, slopes, count, kMaxOffset, places.start);
  ScaleLevels(slopes, places.level);
  RunWide([&]() GS_WIDE {
    for (uint32_t unit = 0; unit < kRowScales; ++unit) {
      places.start[unit] =
          std::clamp(places.start[unit] - target_start[unit], -kMaxOffset, kMaxOffset);
      places.level[unit] =
          LevelClass(places.level[unit], noise, 4, static_cast<int32_t>(kQuantLevels) - 1);
    }
  });
}

void PredictQuants(const QuantFormat& format, const BaseView& base, const UnitPlaces& places,
                   uint32_t weight_count, const QuantPrediction& prediction) {
  if (format.has_codebook) return PredictIndexes(base, places, weight_count, prediction);
  const StepRange range = RangeOf(format);
  const UnitPredictor predict = UnitPredictorHere();
  for (uint32_t unit = 0; unit < weight_count / kViewUnit; ++unit) {
    const uint32_t first = unit * kViewUnit;
    predict(range, places, unit >> places.unit_shift, base.level.data() + first,
            prediction.quant + first, prediction.context + first);
  }
}

void FoldQuants(const QuantFormat& format, const int8_t* predicted, uint32_t weight_count,
                const int8_t* quant, uint8_t* symbols) {
  const uint32_t shift = 8 - format.quant_bits;
  RunWide([&]() GS_WIDE { FoldBytes(predicted, quant, weight_count, shift, symbols); });
}

void UnfoldQuants(const QuantFormat& format, const int8_t* predicted, uint32_t weight_count,
                  const uint8_t* symbols, int8_t* quant) {
  const auto mask = static_cast<uint8_t>((1u << format.quant_bits) - 1);
  const auto low = static_cast<uint8_t>(format.quant_low);
  RunWide([&]() GS_WIDE { UnfoldBytes(predicted, symbols, weight_count, mask, low, quant); });
}

}  // namespace gguf_shard
