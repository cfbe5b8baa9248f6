// Decoders of the super-blocks whose sub-blocks have 16 weights: Q2_K, Q3_K, Q6_K (formats:
// kernels/ref/decode_256.cc). Each half of 128 columns is four quarters of 32, two sub-blocks to a
// quarter; a quarter is a pair of bits in every byte. Thread-safety: pure functions.
#pragma once

#include <utility>

#include "kernels/cpu/decode_256.h"

namespace gguf_shard {

// Where sub-block kSub lies.
template <uint32_t kSub>
struct Sub16Place {
  static constexpr uint32_t kHalf = kSub / 8;
  static constexpr uint32_t kQuarter = kSub % 8 / 2;
  static constexpr uint32_t kFirstWord = kSub % 2 * 4;  // of the 8 words of a quarter
};

// Sixteen sub-blocks of a decoder with
//   Shared             words of one half that its quarters have in common, for four columns each
//   LoadShared<kHalf, kFirstWord>(planes)
//   Unpack<kSub>(shared, words)
//   Add<kSub>(planes, state, add)   calls add(scale, offset)
// Quarters share words. One token: each is loaded once, for the products of all quarters. More
// tokens: sub-block by sub-block, for there is no room for so many products.
template <class Simd, class Decoder>
struct Sub16Order {
  using Sixteen = std::make_integer_sequence<uint32_t, 16>;
  using Eight = std::make_integer_sequence<uint32_t, 8>;

  template <class Planes, class State, class Consume>
  static GS_INLINE void Decode(const Planes& planes, const State& state, Consume& consume) {
    if constexpr (Consume::kOneToken) {
      Half<0>(planes, state, consume, Eight());
      Half<1>(planes, state, consume, Eight());
    } else {
      Subs(planes, state, consume, Sixteen());
    }
  }

 private:
  template <class Planes, class State, class Consume, uint32_t... kSubs>
  static GS_INLINE void Subs(const Planes& planes, const State& state, Consume& consume,
                             std::integer_sequence<uint32_t, kSubs...>) {
    (Sub<kSubs>(planes, state, consume), ...);
  }
  template <uint32_t kSub, class Planes, class State, class Consume>
  static GS_INLINE void Sub(const Planes& planes, const State& state, Consume& consume) {
    using Place = Sub16Place<kSub>;
    typename Simd::U32 words[4];
    Decoder::template Unpack<kSub>(
        Decoder::template LoadShared<Place::kHalf, Place::kFirstWord>(planes), words);
    Decoder::template Add<kSub>(planes, state, [&](auto scale, auto offset) {
      consume.template Add<kSub>(scale, offset, words);
    });
  }

  template <uint32_t kHalf, class Planes, class State, class Consume, uint32_t... kSubs>
  static GS_INLINE void Half(const Planes& planes, const State& state, Consume& consume,
                             std::integer_sequence<uint32_t, kSubs...>) {
    typename Simd::I32 dots[8];
    Quarters<kHalf * 8>(Decoder::template LoadShared<kHalf, 0>(planes), consume, dots);
    Quarters<kHalf * 8 + 1>(Decoder::template LoadShared<kHalf, 4>(planes), consume, dots);
    (Decoder::template Add<kHalf * 8 + kSubs>(planes, state,
                                              [&](auto scale, auto offset) {
                                                consume.template AddDot<kHalf * 8 + kSubs>(
                                                    scale, offset, dots[kSubs]);
                                              }),
     ...);
  }
  // Every second sub-block of a half, from kFirst on.
  template <uint32_t kFirst, class Consume>
  static GS_INLINE void Quarters(const typename Decoder::Shared& shared, Consume& consume,
                                 typename Simd::I32 (&dots)[8]) {
    Product<kFirst>(shared, consume, dots);
    Product<kFirst + 2>(shared, consume, dots);
    Product<kFirst + 4>(shared, consume, dots);
    Product<kFirst + 6>(shared, consume, dots);
  }
  template <uint32_t kSub, class Consume>
  static GS_INLINE void Product(const typename Decoder::Shared& shared, Consume& consume,
                                typename Simd::I32 (&dots)[8]) {
    typename Simd::U32 words[4];
    Decoder::template Unpack<kSub>(shared, words);
    dots[kSub % 8] = consume.template Dot<kSub>(words);
  }
};

template <class Simd>
struct DecodeQ2K : Block256Base<Simd> {
  using Base = Block256Base<Simd>;
  using typename Base::F32;
  using typename Base::U32;
  static constexpr uint32_t kSubColumns = 16;
  static constexpr uint32_t kTileRows = 48;
  static constexpr uint32_t kMaxWeight = 3;

  struct Shared {
    U32 low[4];
  };

  template <class Planes, class Consume>
  static GS_INLINE void Decode(const Planes& planes, Consume& consume) {
    const F16Pair<Simd> factors(Simd::LoadPlane(planes, 20));
    Sub16Order<Simd, DecodeQ2K>::Decode(planes, factors, consume);
  }

  template <uint32_t kHalf, uint32_t kFirstWord, class Planes>
  static GS_INLINE Shared LoadShared(const Planes& planes) {
    Shared shared;
#pragma GCC unroll 4
    for (uint32_t w = 0; w < 4; ++w) {
      shared.low[w] = Simd::LoadPlane(planes, 4 + kHalf * 8 + kFirstWord + w);
    }
    return shared;
  }
  template <uint32_t kSub>
  static GS_INLINE void Unpack(const Shared& shared, U32 (&words)[4]) {
#pragma GCC unroll 4
    for (uint32_t w = 0; w < 4; ++w) {
      words[w] = shared.low[w] >> (2 * Sub16Place<kSub>::kQuarter) & 0x03030303u;
    }
  }
  template <uint32_t kSub, class Planes, class AddSub>
  static GS_INLINE void Add(const Planes& planes, const F16Pair<Simd>& factors, AddSub add) {
    const U32 packed_scales = Simd::LoadPlane(planes, kSub / 4);
    const U32 scale = packed_scales >> (kSub % 4 * 8) & 15u;
    const U32 min = packed_scales >> (kSub % 4 * 8 + 4) & 15u;
    add(factors.low * Simd::ToF32(scale), factors.high * -Simd::ToF32(min));
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
  struct Shared {
    U32 low[4];
    U32 high[4];
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
    Sub16Order<Simd, DecodeQ3K>::Decode(planes, state, consume);
  }

  template <uint32_t kHalf, uint32_t kFirstWord, class Planes>
  static GS_INLINE Shared LoadShared(const Planes& planes) {
    Shared shared;
#pragma GCC unroll 4
    for (uint32_t w = 0; w < 4; ++w) {
      shared.low[w] = Simd::LoadPlane(planes, 8 + kHalf * 8 + kFirstWord + w);
      shared.high[w] = Simd::LoadPlane(planes, kFirstWord + w);
    }
    return shared;
  }
  template <uint32_t kSub>
  static GS_INLINE void Unpack(const Shared& shared, U32 (&words)[4]) {
    using Place = Sub16Place<kSub>;
    constexpr uint32_t kHighBit = Place::kHalf * 4 + Place::kQuarter;
#pragma GCC unroll 4
    for (uint32_t w = 0; w < 4; ++w) {
      words[w] = (shared.low[w] >> (2 * Place::kQuarter) & 0x03030303u) |
                 Base::template MoveBits<kHighBit, 2>(shared.high[w], 0x04040404u);
    }
  }
  template <uint32_t kSub, class Planes, class AddSub>
  static GS_INLINE void Add(const Planes&, const State& state, AddSub add) {
    const F32 scale = state.d * (Simd::ByteToF32(state.scales[kSub / 4], kSub % 4) - 32.0f);
    add(scale, scale * -4.0f);
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

  struct Shared {
    U32 low[2][4];  // of even and of odd quarters
    U32 high[4];
  };

  template <class Planes, class Consume>
  static GS_INLINE void Decode(const Planes& planes, Consume& consume) {
    const F32 d = Simd::LoadShortF16(planes);
    Sub16Order<Simd, DecodeQ6K>::Decode(planes, d, consume);
  }

  template <uint32_t kHalf, uint32_t kFirstWord, class Planes>
  static GS_INLINE Shared LoadShared(const Planes& planes) {
    Shared shared;
#pragma GCC unroll 4
    for (uint32_t w = 0; w < 4; ++w) {
      shared.low[0][w] = Simd::LoadPlane(planes, kHalf * 16 + kFirstWord + w);
      shared.low[1][w] = Simd::LoadPlane(planes, kHalf * 16 + 8 + kFirstWord + w);
      shared.high[w] = Simd::LoadPlane(planes, 32 + kHalf * 8 + kFirstWord + w);
    }
    return shared;
  }
  template <uint32_t kSub>
  static GS_INLINE void Unpack(const Shared& shared, U32 (&words)[4]) {
    constexpr uint32_t kQuarter = Sub16Place<kSub>::kQuarter;
#pragma GCC unroll 4
    for (uint32_t w = 0; w < 4; ++w) {
      const U32 low = shared.low[kQuarter % 2][w];
      words[w] = (kQuarter < 2 ? low & kLowNibbles : low >> 4 & kLowNibbles) |
                 Base::template MoveBits<kQuarter * 2, 4>(shared.high[w], 0x30303030u);
    }
  }
  template <uint32_t kSub, class Planes, class AddSub>
  static GS_INLINE void Add(const Planes& planes, const F32& d, AddSub add) {
    const F32 scale = d * Simd::SignedByteToF32(Simd::LoadPlane(planes, 48 + kSub / 4), kSub % 4);
    add(scale, scale * -32.0f);
  }
};

}  // namespace gguf_shard
