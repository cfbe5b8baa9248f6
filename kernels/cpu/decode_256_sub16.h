// Decoders of the super-blocks whose sub-blocks have 16 weights: Q2_K, Q3_K, Q6_K (formats:
// kernels/ref/decode_256.cc). Each half of 128 columns is four quarters of 32, two sub-blocks to a
// quarter; a quarter is a pair of bits in every byte. Thread-safety: pure functions.
#pragma once

#include <utility>

#include "kernels/cpu/decode_256.h"

namespace gguf_shard {

// Calls Decoder::Sub<0..15>(planes, state, consume).
template <class Decoder, class Planes, class State, class Consume, uint32_t... kSubs>
GS_INLINE void ForEachSub16(const Planes& planes, const State& state, Consume& consume,
                            std::integer_sequence<uint32_t, kSubs...>) {
  (Decoder::template Sub<kSubs>(planes, state, consume), ...);
}
using Sixteen = std::make_integer_sequence<uint32_t, 16>;

// Where sub-block kSub lies.
template <uint32_t kSub>
struct Sub16Place {
  static constexpr uint32_t kHalf = kSub / 8;
  static constexpr uint32_t kQuarter = kSub % 8 / 2;
  static constexpr uint32_t kFirstWord = kSub % 2 * 4;  // of the 8 words of a quarter
};

// Quarters share words; the first one to need a word also prefetches.
template <class Simd, bool kFirst, class Planes>
GS_INLINE typename Simd::U32 LoadShared(const Planes& planes, uint32_t word) {
  return kFirst ? Simd::LoadPlane(planes, word) : Simd::ReloadPlane(planes, word);
}

template <class Simd>
struct DecodeQ2K : Block256Base<Simd> {
  using Base = Block256Base<Simd>;
  using typename Base::F32;
  using typename Base::U32;
  static constexpr uint32_t kSubColumns = 16;
  static constexpr uint32_t kTileRows = 48;
  static constexpr uint32_t kMaxWeight = 3;

  template <class Planes, class Consume>
  static GS_INLINE void Decode(const Planes& planes, Consume& consume) {
    const F16Pair<Simd> factors(Simd::LoadPlane(planes, 20));
    ForEachSub16<DecodeQ2K>(planes, factors, consume, Sixteen());
  }

  template <uint32_t kSub, class Planes, class Consume>
  static GS_INLINE void Sub(const Planes& planes, const F16Pair<Simd>& factors, Consume& consume) {
    using Place = Sub16Place<kSub>;
    const U32 packed_scales = LoadShared<Simd, kSub % 4 == 0>(planes, kSub / 4);
    const U32 scale = packed_scales >> (kSub % 4 * 8) & 15u;
    const U32 min = packed_scales >> (kSub % 4 * 8 + 4) & 15u;
    constexpr uint32_t kWord = 4 + Place::kHalf * 8 + Place::kFirstWord;
    U32 words[4];
#pragma GCC unroll 4
    for (uint32_t w = 0; w < 4; ++w) {
      const U32 packed = LoadShared<Simd, Place::kQuarter == 0>(planes, kWord + w);
      words[w] = packed >> (2 * Place::kQuarter) & 0x03030303u;
    }
    consume.template Add<kSub>(factors.low * Simd::ToF32(scale), factors.high * -Simd::ToF32(min),
                               words);
  }
};

template <class Simd>
struct DecodeQ3K : Block256Base<Simd> {
  using Base = Block256Base<Simd>;
  using typename Base::F32;
  using typename Base::U32;
  static constexpr uint32_t kSubColumns = 16;
  static constexpr uint32_t kTileRows = 37;
  static constexpr uint32_t kMaxWeight = 7;

  struct State {
    F32 d;
    U32 scales[4];  // four 6-bit scales each
  };

  template <class Planes, class Consume>
  static GS_INLINE void Decode(const Planes& planes, Consume& consume) {
    const U32 a = Simd::LoadPlane(planes, 24);
    const U32 b = Simd::LoadPlane(planes, 25);
    const U32 top = Simd::LoadPlane(planes, 26);
    const State state{
        Simd::LoadShortF16(planes),
        {(a & kLowNibbles) | (top << 4 & 0x30303030u), (b & kLowNibbles) | (top << 2 & 0x30303030u),
         (a >> 4 & kLowNibbles) | (top & 0x30303030u),
         (b >> 4 & kLowNibbles) | (top >> 2 & 0x30303030u)}};
    ForEachSub16<DecodeQ3K>(planes, state, consume, Sixteen());
  }

  template <uint32_t kSub, class Planes, class Consume>
  static GS_INLINE void Sub(const Planes& planes, const State& state, Consume& consume) {
    using Place = Sub16Place<kSub>;
    constexpr uint32_t kHighBit = Place::kHalf * 4 + Place::kQuarter;
    const F32 scale = state.d * (Simd::ByteToF32(state.scales[kSub / 4], kSub % 4) - 32.0f);
    constexpr uint32_t kWord = 8 + Place::kHalf * 8 + Place::kFirstWord;
    U32 words[4];
#pragma GCC unroll 4
    for (uint32_t w = 0; w < 4; ++w) {
      const U32 low = LoadShared<Simd, Place::kQuarter == 0>(planes, kWord + w);
      const U32 high = LoadShared<Simd, kHighBit == 0>(planes, Place::kFirstWord + w);
      words[w] = (low >> (2 * Place::kQuarter) & 0x03030303u) |
                 Base::template MoveBits<kHighBit, 2>(high, 0x04040404u);
    }
    consume.template Add<kSub>(scale, scale * -4.0f, words);
  }
};

template <class Simd>
struct DecodeQ6K : Block256Base<Simd> {
  using Base = Block256Base<Simd>;
  using typename Base::F32;
  using typename Base::U32;
  static constexpr uint32_t kSubColumns = 16;
  static constexpr uint32_t kTileRows = 19;
  static constexpr uint32_t kMaxWeight = 63;

  template <class Planes, class Consume>
  static GS_INLINE void Decode(const Planes& planes, Consume& consume) {
    const F32 d = Simd::LoadShortF16(planes);
    ForEachSub16<DecodeQ6K>(planes, d, consume, Sixteen());
  }

  template <uint32_t kSub, class Planes, class Consume>
  static GS_INLINE void Sub(const Planes& planes, const F32& d, Consume& consume) {
    using Place = Sub16Place<kSub>;
    constexpr uint32_t kLowWord = Place::kHalf * 16 + Place::kQuarter % 2 * 8 + Place::kFirstWord;
    constexpr uint32_t kHighWord = 32 + Place::kHalf * 8 + Place::kFirstWord;
    const U32 scales = LoadShared<Simd, kSub % 4 == 0>(planes, 48 + kSub / 4);
    const F32 scale = d * Simd::SignedByteToF32(scales, kSub % 4);
    constexpr bool kLowHalf = Place::kQuarter / 2 == 0;
    U32 words[4];
#pragma GCC unroll 4
    for (uint32_t w = 0; w < 4; ++w) {
      const U32 low = LoadShared<Simd, kLowHalf>(planes, kLowWord + w);
      const U32 high = LoadShared<Simd, Place::kQuarter == 0>(planes, kHighWord + w);
      words[w] = (kLowHalf ? low & kLowNibbles : low >> 4 & kLowNibbles) |
                 Base::template MoveBits<Place::kQuarter * 2, 4>(high, 0x30303030u);
    }
    consume.template Add<kSub>(scale, scale * -32.0f, words);
  }
};

}  // namespace gguf_shard
