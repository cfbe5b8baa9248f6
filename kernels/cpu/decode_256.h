// Decoders of the types with super-blocks of 256 weights (formats: kernels/ref/decode_256.cc).
// Sub-blocks of one pair of planes are decoded together, so that each word is loaded once where
// that is possible. Thread-safety: pure functions.
#pragma once

#include <utility>

#include "kernels/cpu/decode_32.h"
#include "kernels/cpu/decode_common.h"

namespace gguf_shard {

template <class Simd>
struct Block256Base {
  using U32 = typename Simd::U32;
  using F32 = typename Simd::F32;
  static constexpr uint32_t kBlockWeights = 256;

  // The eight 6-bit scales and minima of Q4_K and Q5_K, four bytes to a word.
  struct SixBits {
    U32 scales[2];
    U32 mins[2];
    template <class Planes>
    GS_INLINE SixBits(const Planes& planes, uint32_t first_word) {
      const U32 a = Simd::LoadPlane(planes, first_word);
      const U32 b = Simd::LoadPlane(planes, first_word + 1);
      const U32 c = Simd::LoadPlane(planes, first_word + 2);
      scales[0] = a & 0x3f3f3f3fu;
      mins[0] = b & 0x3f3f3f3fu;
      scales[1] = (c & kLowNibbles) | (a >> 2 & 0x30303030u);
      mins[1] = (c >> 4 & kLowNibbles) | (b >> 2 & 0x30303030u);
    }
  };

  // Bits `shift`..  of each byte moved to bit `to`, under a mask.
  template <uint32_t kFrom, uint32_t kTo>
  static GS_INLINE U32 MoveBits(U32 word, uint32_t mask) {
    if constexpr (kFrom > kTo) {
      return word >> (kFrom - kTo) & mask;
    } else {
      return word << (kTo - kFrom) & mask;
    }
  }
};

template <class Simd>
struct DecodeQ4K : Block256Base<Simd> {
  using Base = Block256Base<Simd>;
  using typename Base::U32;
  static constexpr uint32_t kSubColumns = 32;
  static constexpr uint32_t kTileRows = 28;
  static constexpr uint32_t kMaxWeight = 15;

  template <class Planes, class Consume>
  static GS_INLINE void Decode(const Planes& planes, Consume& consume) {
    const F16Pair<Simd> factors(Simd::LoadPlane(planes, 0));
    const typename Base::SixBits six(planes, 1);
    Pair<0>(planes, factors, six, consume);
    Pair<1>(planes, factors, six, consume);
    Pair<2>(planes, factors, six, consume);
    Pair<3>(planes, factors, six, consume);
  }

 private:
  template <uint32_t kPair, class Planes, class Consume>
  static GS_INLINE void Pair(const Planes& planes, const F16Pair<Simd>& factors,
                             const typename Base::SixBits& six, Consume& consume) {
    constexpr uint32_t kWord = kPair / 2;
    constexpr uint32_t kByte = kPair % 2 * 2;
    const auto negative_min = -factors.high;
    U32 words[8];
#pragma GCC unroll 8
    for (uint32_t w = 0; w < 8; ++w)
      words[w] = Simd::LoadPlane(planes, 4 + kPair * 8 + w) & kLowNibbles;
    consume.template Add<kPair * 2>(factors.low * Simd::ByteToF32(six.scales[kWord], kByte),
                                    negative_min * Simd::ByteToF32(six.mins[kWord], kByte), words);
#pragma GCC unroll 8
    for (uint32_t w = 0; w < 8; ++w)
      words[w] = Simd::LoadPlane(planes, 4 + kPair * 8 + w) >> 4 & kLowNibbles;
    consume.template Add<kPair * 2 + 1>(factors.low * Simd::ByteToF32(six.scales[kWord], kByte + 1),
                                        negative_min * Simd::ByteToF32(six.mins[kWord], kByte + 1),
                                        words);
  }
};

template <class Simd>
struct DecodeQ5K : Block256Base<Simd> {
  using Base = Block256Base<Simd>;
  using typename Base::U32;
  static constexpr uint32_t kSubColumns = 32;
  static constexpr uint32_t kTileRows = 23;
  static constexpr uint32_t kMaxWeight = 31;

  template <class Planes, class Consume>
  static GS_INLINE void Decode(const Planes& planes, Consume& consume) {
    const F16Pair<Simd> factors(Simd::LoadPlane(planes, 0));
    const typename Base::SixBits six(planes, 1);
    Pair<0>(planes, factors, six, consume);
    Pair<1>(planes, factors, six, consume);
    Pair<2>(planes, factors, six, consume);
    Pair<3>(planes, factors, six, consume);
  }

 private:
  template <uint32_t kPair, class Planes, class Consume>
  static GS_INLINE void Pair(const Planes& planes, const F16Pair<Simd>& factors,
                             const typename Base::SixBits& six, Consume& consume) {
    constexpr uint32_t kWord = kPair / 2;
    constexpr uint32_t kByte = kPair % 2 * 2;
    const auto negative_min = -factors.high;
    U32 words[8];
#pragma GCC unroll 8
    for (uint32_t w = 0; w < 8; ++w) {
      words[w] = (Simd::LoadPlane(planes, 12 + kPair * 8 + w) & kLowNibbles) |
                 Fifths<kPair * 2>(planes, w);
    }
    consume.template Add<kPair * 2>(factors.low * Simd::ByteToF32(six.scales[kWord], kByte),
                                    negative_min * Simd::ByteToF32(six.mins[kWord], kByte), words);
#pragma GCC unroll 8
    for (uint32_t w = 0; w < 8; ++w) {
      words[w] = (Simd::LoadPlane(planes, 12 + kPair * 8 + w) >> 4 & kLowNibbles) |
                 Fifths<kPair * 2 + 1>(planes, w);
    }
    consume.template Add<kPair * 2 + 1>(factors.low * Simd::ByteToF32(six.scales[kWord], kByte + 1),
                                        negative_min * Simd::ByteToF32(six.mins[kWord], kByte + 1),
                                        words);
  }

  // The fifth bits of a sub-block are one bit of every byte.
  template <uint32_t kSub, class Planes>
  static GS_INLINE U32 Fifths(const Planes& planes, uint32_t word) {
    return Base::template MoveBits<kSub, 4>(Simd::LoadPlane(planes, 4 + word), 0x10101010u);
  }
};

template <class Simd>
struct DecodeIq4Xs : Block256Base<Simd> {
  using typename Block256Base<Simd>::U32;
  static constexpr uint32_t kSubColumns = 32;
  static constexpr uint32_t kTileRows = 30;
  static constexpr uint32_t kMaxWeight = 255;

  template <class Planes, class Consume>
  static GS_INLINE void Decode(const Planes& planes, Consume& consume) {
    const U32 head = Simd::LoadPlane(planes, 0);
    const U32 scales_low = Simd::LoadPlane(planes, 1);
    const auto d = Simd::F16ToF32(head & 0xffffu);
    Subs(planes, d, head, scales_low, consume, std::make_integer_sequence<uint32_t, 8>());
  }

 private:
  template <class Planes, class Consume, uint32_t... kSubs>
  static GS_INLINE void Subs(const Planes& planes, typename Simd::F32 d, U32 head, U32 scales_low,
                             Consume& consume, std::integer_sequence<uint32_t, kSubs...>) {
    (Sub<kSubs>(planes, d, head, scales_low, consume), ...);
  }
  template <uint32_t kSub, class Planes, class Consume>
  static GS_INLINE void Sub(const Planes& planes, typename Simd::F32 d, U32 head, U32 scales_low,
                            Consume& consume) {
    const U32 nibble = scales_low >> (4 * kSub) & 15u;
    const U32 top = head >> (16 + 2 * kSub) & 3u;
    const auto scale = d * (Simd::ToF32(nibble | top << 4) - 32.0f);
    U32 words[8];
#pragma GCC unroll 4
    for (uint32_t w = 0; w < 4; ++w) {
      const U32 packed = Simd::LoadPlane(planes, 2 + kSub * 4 + w);
      words[w] = Simd::LookUp(kIq4Table, packed & kLowNibbles);
      words[w + 4] = Simd::LookUp(kIq4Table, packed >> 4 & kLowNibbles);
    }
    consume.template Add<kSub>(scale, scale * -kIq4Offset, words);
  }
};

}  // namespace gguf_shard
