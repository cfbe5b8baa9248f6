#include "delta/rans_wide.h"

#include "delta/wide.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <algorithm>
#include <array>
#endif

namespace gguf_shard {

#if defined(__x86_64__)
namespace {

// 16 words are read at a time, whether needed or not.
constexpr size_t kWordBytesRead = 32;

// How many slots an entry stands for.
struct Shift16 {
  __m128i count;
  __m512i low;
};
struct Shift8 {
  __m128i count;
  __m256i low;
};

GS_TARGET_AVX512 inline __m512i DecodeStep16(RansDecodeRun& run, const Shift16& shift,
                                             __m512i state, size_t at, __m512i& largest) {
  const __m512i context = _mm512_cvtepu16_epi32(
      _mm256_loadu_si256(reinterpret_cast<const __m256i*>(run.contexts + at)));
  const __m512i first = _mm512_i32gather_epi32(context, run.first_slot, 4);
  largest = _mm512_max_epu32(largest, first);
  const __m512i place = _mm512_and_si512(state, _mm512_set1_epi32(kProbabilityScale - 1));
  const __m512i index = _mm512_add_epi32(first, _mm512_srl_epi32(place, shift.count));
  const __m512i slot = _mm512_i32gather_epi32(index, run.slots, 4);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(run.symbols + at), _mm512_cvtepi32_epi8(slot));
  const __m512i frequency = _mm512_add_epi32(
      _mm512_and_si512(_mm512_srli_epi32(slot, 8), _mm512_set1_epi32(0xfff)), _mm512_set1_epi32(1));
  state = _mm512_add_epi32(
      _mm512_mullo_epi32(frequency, _mm512_srli_epi32(state, kProbabilityBits)),
      _mm512_add_epi32(_mm512_srli_epi32(slot, 20), _mm512_and_si512(place, shift.low)));
  const __mmask16 low = _mm512_cmplt_epu32_mask(state, _mm512_set1_epi32(kRansStateLow));
  const __m512i words = _mm512_maskz_expand_epi32(
      low, _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(run.next))));
  run.next += 2 * static_cast<size_t>(__builtin_popcount(low));
  return _mm512_mask_or_epi32(state, low, _mm512_slli_epi32(state, 16), words);
}

// Runs from any lane that is a multiple of 16. All vectors of lanes are on their way at once: each
// waits long for its table entries.
GS_TARGET_AVX512 size_t Decode16(RansDecodeRun& run) {
  const Shift16 shift{_mm_cvtsi32_si128(static_cast<int>(run.shift)),
                      _mm512_set1_epi32(static_cast<int>((1u << run.shift) - 1))};
  constexpr size_t kVectors = kMaxLanes / 16;
  __m512i states[kVectors];
  for (size_t i = 0; i < kVectors; ++i) states[i] = _mm512_loadu_si512(run.states + 16 * i);
  __m512i largest = _mm512_set1_epi32(static_cast<int>(run.largest_first_slot));
  size_t done = 0;
  size_t place = run.lane / 16;
  const auto Room = [&run](size_t steps) {
    return static_cast<size_t>(run.end - run.next) >= steps * kWordBytesRead;
  };
  while (run.count - done >= 16 && Room(1)) {
    if (place == 0 && run.count - done >= kMaxLanes && Room(kVectors)) {
      for (size_t i = 0; i < kVectors; ++i) {
        states[i] = DecodeStep16(run, shift, states[i], done + 16 * i, largest);
      }
      done += kMaxLanes;
      continue;
    }
    states[place] = DecodeStep16(run, shift, states[place], done, largest);
    done += 16;
    place = (place + 1) % kVectors;
  }
  for (size_t i = 0; i < kVectors; ++i) _mm512_storeu_si512(run.states + 16 * i, states[i]);
  run.largest_first_slot = _mm512_reduce_max_epu32(largest);
  return done;
}

// For each mask of eight lanes that need a word: which of the next words each gets.
using WordPlaces = std::array<std::array<uint8_t, 8>, 256>;
constexpr WordPlaces MakeWordPlaces() {
  WordPlaces places{};
  for (size_t mask = 0; mask < 256; ++mask) {
    uint8_t next = 0;
    for (size_t lane = 0; lane < 8; ++lane) {
      places[mask][lane] = next;
      if ((mask >> lane & 1) != 0) ++next;
    }
  }
  return places;
}
constexpr WordPlaces kWordPlaces = MakeWordPlaces();

GS_TARGET_AVX2 inline __m256i DecodeStep8(RansDecodeRun& run, const Shift8& shift, __m256i state,
                                          size_t at, __m256i& largest) {
  const __m256i context =
      _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(run.contexts + at)));
  const __m256i first =
      _mm256_i32gather_epi32(reinterpret_cast<const int*>(run.first_slot), context, 4);
  largest = _mm256_max_epu32(largest, first);
  const __m256i place = _mm256_and_si256(state, _mm256_set1_epi32(kProbabilityScale - 1));
  const __m256i index = _mm256_add_epi32(first, _mm256_srl_epi32(place, shift.count));
  const __m256i slot = _mm256_i32gather_epi32(reinterpret_cast<const int*>(run.slots), index, 4);
  const __m256i bytes = _mm256_and_si256(slot, _mm256_set1_epi32(0xff));
  const __m128i halves =
      _mm_packus_epi32(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(run.symbols + at), _mm_packus_epi16(halves, halves));
  const __m256i frequency = _mm256_add_epi32(
      _mm256_and_si256(_mm256_srli_epi32(slot, 8), _mm256_set1_epi32(0xfff)), _mm256_set1_epi32(1));
  state = _mm256_add_epi32(
      _mm256_mullo_epi32(frequency, _mm256_srli_epi32(state, kProbabilityBits)),
      _mm256_add_epi32(_mm256_srli_epi32(slot, 20), _mm256_and_si256(place, shift.low)));
  const __m256i low = _mm256_cmpeq_epi32(_mm256_srli_epi32(state, 16), _mm256_setzero_si256());
  const auto mask = static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(low)));
  const __m256i next =
      _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(run.next)));
  const __m256i places = _mm256_cvtepu8_epi32(
      _mm_loadl_epi64(reinterpret_cast<const __m128i*>(kWordPlaces[mask].data())));
  const __m256i words = _mm256_permutevar8x32_epi32(next, places);
  run.next += 2 * static_cast<size_t>(__builtin_popcount(mask));
  return _mm256_blendv_epi8(state, _mm256_or_si256(_mm256_slli_epi32(state, 16), words), low);
}

// Runs from any lane that is a multiple of 8.
GS_TARGET_AVX2 size_t Decode8(RansDecodeRun& run, size_t done) {
  const Shift8 shift{_mm_cvtsi32_si128(static_cast<int>(run.shift)),
                     _mm256_set1_epi32(static_cast<int>((1u << run.shift) - 1))};
  constexpr size_t kVectors = kMaxLanes / 8;
  __m256i states[kVectors];
  for (size_t i = 0; i < kVectors; ++i) {
    states[i] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(run.states + 8 * i));
  }
  __m256i largest = _mm256_set1_epi32(static_cast<int>(run.largest_first_slot));
  size_t place = (run.lane + done) % kMaxLanes / 8;
  const auto Room = [&run](size_t steps) {
    return static_cast<size_t>(run.end - run.next) >= steps * kWordBytesRead;
  };
  while (run.count - done >= 8 && Room(1)) {
    if (place == 0 && run.count - done >= kMaxLanes && Room(kVectors)) {
      for (size_t i = 0; i < kVectors; ++i) {
        states[i] = DecodeStep8(run, shift, states[i], done + 8 * i, largest);
      }
      done += kMaxLanes;
      continue;
    }
    states[place] = DecodeStep8(run, shift, states[place], done, largest);
    done += 8;
    place = (place + 1) % kVectors;
  }
  std::array<uint32_t, 8> lanes;
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes.data()), largest);
  for (const uint32_t lane : lanes) {
    run.largest_first_slot = std::max(run.largest_first_slot, lane);
  }
  for (size_t i = 0; i < kVectors; ++i) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(run.states + 8 * i), states[i]);
  }
  return done;
}

// Eight symbols: what is left of a run, or all of a short one.
GS_TARGET_AVX2 size_t DecodeEight(RansDecodeRun& run, size_t done) {
  if (static_cast<size_t>(run.end - run.next) < kWordBytesRead) return done;
  const Shift8 shift{_mm_cvtsi32_si128(static_cast<int>(run.shift)),
                     _mm256_set1_epi32(static_cast<int>((1u << run.shift) - 1))};
  auto* const place = reinterpret_cast<__m256i*>(run.states + (run.lane + done) % kMaxLanes);
  __m256i largest = _mm256_set1_epi32(static_cast<int>(run.largest_first_slot));
  _mm256_storeu_si256(place, DecodeStep8(run, shift, _mm256_loadu_si256(place), done, largest));
  for (size_t i = done; i < done + 8; ++i) {
    run.largest_first_slot = std::max(run.largest_first_slot, run.first_slot[run.contexts[i]]);
  }
  return done + 8;
}

// The high halves of 16 products.
GS_TARGET_AVX512 inline __m512i MultiplyHigh(__m512i a, __m512i b) {
  const __m512i even = _mm512_srli_epi64(_mm512_mul_epu32(a, b), 32);
  const __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), _mm512_srli_epi64(b, 32));
  return _mm512_mask_blend_epi32(0xaaaa, even, odd);
}

GS_TARGET_AVX512 inline __m512i EncodeStep16(const RansEncodeTables& tables, __m512i state,
                                             const uint16_t* contexts, const uint8_t* symbols,
                                             uint16_t*& words) {
  const __m512i context =
      _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(contexts)));
  const __m512i symbol =
      _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(symbols)));
  const __m512i entry =
      _mm512_add_epi32(_mm512_i32gather_epi32(context, tables.first_entry, 4), symbol);
  const __m512i packed = _mm512_i32gather_epi32(entry, tables.packed, 4);
  const __m512i multiplier = _mm512_i32gather_epi32(entry, tables.multipliers, 4);
  const __m512i twelve_bits = _mm512_set1_epi32(0xfff);
  const __m512i start = _mm512_and_si512(packed, twelve_bits);
  const __m512i frequency = _mm512_add_epi32(
      _mm512_and_si512(_mm512_srli_epi32(packed, 12), twelve_bits), _mm512_set1_epi32(1));
  const __mmask16 full = _mm512_cmpge_epu32_mask(_mm512_srli_epi32(state, 20), frequency);
  const int count = __builtin_popcount(full);
  words -= count;
  _mm256_mask_storeu_epi16(words, static_cast<__mmask16>((1u << count) - 1),
                           _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(full, state)));
  state = _mm512_mask_srli_epi32(state, full, state, 16);
  const __m512i high = MultiplyHigh(multiplier, state);
  const __m512i halved =
      _mm512_srlv_epi32(_mm512_sub_epi32(state, high), _mm512_srli_epi32(packed, 28));
  const __m512i shift = _mm512_and_si512(_mm512_srli_epi32(packed, 24), _mm512_set1_epi32(15));
  const __m512i quotient = _mm512_srlv_epi32(_mm512_add_epi32(high, halved), shift);
  const __m512i rest = _mm512_sub_epi32(state, _mm512_mullo_epi32(quotient, frequency));
  return _mm512_add_epi32(_mm512_add_epi32(_mm512_slli_epi32(quotient, kProbabilityBits), rest),
                          start);
}

GS_TARGET_AVX512 size_t Encode16(const RansEncodeTables& tables, const uint16_t* contexts,
                                 const uint8_t* symbols, size_t count, uint32_t* states,
                                 uint16_t*& words) {
  constexpr size_t kVectors = kMaxLanes / 16;
  __m512i vectors[kVectors];
  for (size_t i = 0; i < kVectors; ++i) vectors[i] = _mm512_loadu_si512(states + 16 * i);
  size_t left = count;
  for (; left % kMaxLanes != 0; left -= 16) {
    __m512i& vector = vectors[(left - 16) % kMaxLanes / 16];
    vector = EncodeStep16(tables, vector, contexts + left - 16, symbols + left - 16, words);
  }
  while (left != 0) {
    for (size_t i = kVectors; i-- > 0;) {
      left -= 16;
      vectors[i] = EncodeStep16(tables, vectors[i], contexts + left, symbols + left, words);
    }
  }
  for (size_t i = 0; i < kVectors; ++i) _mm512_storeu_si512(states + 16 * i, vectors[i]);
  return count;
}

}  // namespace

size_t RansDecodeWide(RansDecodeRun& run) {
  const Wide wide = WideInUse();
  if (wide == Wide::kNone || run.lane % 8 != 0) return 0;
  const size_t done = wide == Wide::kAvx512 && run.lane % 16 == 0 ? Decode16(run) : 0;
  const size_t left = run.count - done;
  return left >= 16 ? Decode8(run, done) : left >= 8 ? DecodeEight(run, done) : done;
}

size_t RansEncodeWide(const RansEncodeTables& tables, const uint16_t* contexts,
                      const uint8_t* symbols, size_t count, uint32_t* states, uint16_t*& words) {
  if (WideInUse() != Wide::kAvx512) return 0;
  return Encode16(tables, contexts, symbols, count, states, words);
}

#else

size_t RansDecodeWide(RansDecodeRun&) { return 0; }
size_t RansEncodeWide(const RansEncodeTables&, const uint16_t*, const uint8_t*, size_t, uint32_t*,
                      uint16_t*&) {
  return 0;
}

#endif

}  // namespace gguf_shard
