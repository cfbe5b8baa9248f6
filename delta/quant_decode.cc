#include "delta/quant_decode.h"

#include "delta/rans_wide.h"
#include "delta/wide.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace gguf_shard {

#if defined(__x86_64__)
namespace {

constexpr uint32_t kUnitContexts = 4 * kQuantEdges;  // that the weights of a unit can have
static_assert(kUnitContexts <= 32 && SymbolReader::kContextPadding >= 32 - kUnitContexts);
// A symbol takes at most one word, and sixteen words are read at a time.
constexpr size_t kMostWordBytes = 2 * kGroupWeights + 32;

GS_TARGET_AVX512 inline __m512i Same(int32_t value) { return _mm512_set1_epi32(value); }

// What all units have in common.
struct Constants {
  __m512i low;
  __m512i high;
  __m512i quant_mask;
  __m512i slot_low;
  __m128i slot_shift;
};

// Predicted quants, and the contexts within the unit's.
struct Predicted {
  __m512i quant;
  __m512i context;
};

GS_TARGET_AVX512 inline Predicted Predict(const Constants& c, __m512i ratio, __m512i start,
                                          const int16_t* level) {
  const __m512i levels =
      _mm512_cvtepi16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(level)));
  const __m512i fixed = _mm512_add_epi32(_mm512_mullo_epi32(levels, ratio), start);
  const __m512i quarters = _mm512_add_epi32(_mm512_srai_epi32(fixed, kFractionBits - 2), Same(2));
  const __m512i step = _mm512_srai_epi32(quarters, 2);
  __m512i context = _mm512_and_si512(quarters, Same(3));
  // The four cases exclude each other.
  context = _mm512_mask_add_epi32(context, _mm512_cmpeq_epi32_mask(step, c.low), context, Same(4));
  context = _mm512_mask_add_epi32(context, _mm512_cmpeq_epi32_mask(step, c.high), context, Same(8));
  context = _mm512_mask_add_epi32(context, _mm512_cmplt_epi32_mask(step, c.low), context, Same(12));
  context =
      _mm512_mask_add_epi32(context, _mm512_cmpgt_epi32_mask(step, c.high), context, Same(16));
  return {_mm512_min_epi32(_mm512_max_epi32(step, c.low), c.high), context};
}

// prediction + unfolded symbol, wrapped into the range.
GS_TARGET_AVX512 inline __m512i Unfold(const Constants& c, __m512i predicted, __m512i slot) {
  const __m512i symbol = _mm512_and_si512(slot, Same(0xff));
  const __m512i sign = _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_and_si512(symbol, Same(1)));
  const __m512i residual = _mm512_xor_si512(_mm512_srli_epi32(symbol, 1), sign);
  const __m512i value = _mm512_sub_epi32(_mm512_add_epi32(predicted, residual), c.low);
  return _mm512_add_epi32(_mm512_and_si512(value, c.quant_mask), c.low);
}

GS_TARGET_AVX512 void DecodeUnits(const Constants& c, const BaseView& base,
                                  const UnitPlaces& places, uint32_t unit_count, RansDecodeRun& run,
                                  int8_t* quants) {
  constexpr size_t kVectors = kMaxLanes / 16;
  __m512i states[kVectors];
  for (size_t i = 0; i < kVectors; ++i) states[i] = _mm512_loadu_si512(run.states + 16 * i);
  __m512i largest = Same(static_cast<int32_t>(run.largest_first_slot));
  const std::byte* next = run.next;
  for (uint32_t unit = 0; unit < unit_count; unit += kVectors) {
    for (uint32_t i = 0; i < kVectors; ++i) {
      const uint32_t place = (unit + i) >> places.unit_shift;
      const size_t first_weight = size_t{unit + i} * kViewUnit;
      const Predicted predicted = Predict(c, Same(places.ratio[place]),
                                          Same(places.start[place] + (1 << (kFractionBits - 3))),
                                          base.level.data() + first_weight);
      const uint32_t* tables =
          run.first_slot + kUnitContexts * static_cast<uint32_t>(places.level[place]);
      const __m512i first = _mm512_permutex2var_epi32(_mm512_loadu_si512(tables), predicted.context,
                                                      _mm512_loadu_si512(tables + 16));
      largest = _mm512_max_epu32(largest, first);
      __m512i state = states[i];
      const __m512i slot_place = _mm512_and_si512(state, Same(kProbabilityScale - 1));
      const __m512i index = _mm512_add_epi32(first, _mm512_srl_epi32(slot_place, c.slot_shift));
      const __m512i slot = _mm512_i32gather_epi32(index, run.slots, 4);
      const __m512i frequency = _mm512_add_epi32(
          _mm512_and_si512(_mm512_srli_epi32(slot, 8), Same(kProbabilityScale - 1)), Same(1));
      const __m512i inside =
          _mm512_add_epi32(_mm512_srli_epi32(slot, 20), _mm512_and_si512(slot_place, c.slot_low));
      state = _mm512_add_epi32(
          _mm512_mullo_epi32(frequency, _mm512_srli_epi32(state, kProbabilityBits)), inside);
      const __mmask16 empty = _mm512_cmplt_epu32_mask(state, Same(kRansStateLow));
      const __m512i words = _mm512_maskz_expand_epi32(
          empty, _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(next))));
      next += 2 * static_cast<size_t>(__builtin_popcount(empty));
      states[i] = _mm512_mask_or_epi32(state, empty, _mm512_slli_epi32(state, 16), words);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(quants + first_weight),
                       _mm512_cvtepi32_epi8(Unfold(c, predicted.quant, slot)));
    }
  }
  for (size_t i = 0; i < kVectors; ++i) _mm512_storeu_si512(run.states + 16 * i, states[i]);
  run.largest_first_slot = _mm512_reduce_max_epu32(largest);
  run.next = next;
}

GS_TARGET_AVX512 Constants ConstantsOf(const QuantFormat& format, uint32_t shift) {
  const StepRange range = RangeOf(format);
  return {Same(range.low), Same(range.high), Same(range.high - range.low),
          Same(static_cast<int32_t>((1u << shift) - 1)),
          _mm_cvtsi32_si128(static_cast<int>(shift))};
}

GS_TARGET_AVX512 void DecodeGroup(const QuantFormat& format, const BaseView& base,
                                  const UnitPlaces& places, uint32_t weight_count,
                                  RansDecodeRun& run, int8_t* quants) {
  DecodeUnits(ConstantsOf(format, run.shift), base, places, weight_count / kViewUnit, run, quants);
}

}  // namespace

bool DecodeQuants(const QuantFormat& format, const BaseView& base, const UnitPlaces& places,
                  uint32_t weight_count, SymbolReader& symbols, int8_t* quants) {
  RansDecoder* const decoder = symbols.decoder();
  if (WideInUse() != Wide::kAvx512 || format.has_codebook || decoder == nullptr) return false;
  RansDecodeRun run = decoder->Lend();
  // Groups are whole pairs of units: they all start at the first lane.
  if (run.lanes != kMaxLanes || run.lane != 0 ||
      static_cast<size_t>(run.end - run.next) < kMostWordBytes) {
    return false;
  }
  DecodeGroup(format, base, places, weight_count, run, quants);
  decoder->TakeBack(run, weight_count);
  return true;
}

#else

bool DecodeQuants(const QuantFormat&, const BaseView&, const UnitPlaces&, uint32_t, SymbolReader&,
                  int8_t*) {
  return false;
}

#endif

}  // namespace gguf_shard
