// Decoders of the types with blocks of 32 weights (formats: kernels/ref/decode_32.cc). Nibble j of
// a block's low half is column j, of its high half column j + 16. Thread-safety: pure functions.
#pragma once

#include "kernels/cpu/decode_common.h"

namespace gguf_shard {

template <class Simd>
struct Block32Base {
  using U32 = typename Simd::U32;
  using F32 = typename Simd::F32;
  static constexpr uint32_t kBlockWeights = 32;
  static constexpr uint32_t kSubColumns = 32;
  static constexpr uint32_t kTileRows = 0;  // any

  // Words first_word.. of four nibble words to eight words of bytes.
  template <class Planes>
  static GS_INLINE void Nibbles(const Planes& planes, uint32_t first_word, U32 (&words)[8]) {
#pragma GCC unroll 4
    for (uint32_t w = 0; w < 4; ++w) {
      const U32 packed = Simd::LoadPlane(planes, first_word + w);
      words[w] = packed & kLowNibbles;
      words[w + 4] = packed >> 4 & kLowNibbles;
    }
  }
  static GS_INLINE void AddFifthBits(U32 bits, U32 (&words)[8]) {
    words[0] |= Simd::template FifthBits<0>(bits);
    words[1] |= Simd::template FifthBits<1>(bits);
    words[2] |= Simd::template FifthBits<2>(bits);
    words[3] |= Simd::template FifthBits<3>(bits);
    words[4] |= Simd::template FifthBits<4>(bits);
    words[5] |= Simd::template FifthBits<5>(bits);
    words[6] |= Simd::template FifthBits<6>(bits);
    words[7] |= Simd::template FifthBits<7>(bits);
  }
};

template <class Simd>
struct DecodeQ4_0 : Block32Base<Simd> {
  using typename Block32Base<Simd>::U32;
  static constexpr uint32_t kMaxWeight = 15;
  template <class Planes, class Consume>
  static GS_INLINE void Decode(const Planes& planes, Consume& consume) {
    const auto scale = Simd::LoadShortF16(planes);
    U32 words[8];
    Block32Base<Simd>::Nibbles(planes, 0, words);
    consume.template Add<0>(scale, scale * -8.0f, words);
  }
};

template <class Simd>
struct DecodeQ4_1 : Block32Base<Simd> {
  using typename Block32Base<Simd>::U32;
  static constexpr uint32_t kMaxWeight = 15;
  template <class Planes, class Consume>
  static GS_INLINE void Decode(const Planes& planes, Consume& consume) {
    const F16Pair<Simd> factors(Simd::LoadPlane(planes, 0));
    U32 words[8];
    Block32Base<Simd>::Nibbles(planes, 1, words);
    consume.template Add<0>(factors.low, factors.high, words);
  }
};

template <class Simd>
struct DecodeQ5_0 : Block32Base<Simd> {
  using typename Block32Base<Simd>::U32;
  static constexpr uint32_t kMaxWeight = 31;
  template <class Planes, class Consume>
  static GS_INLINE void Decode(const Planes& planes, Consume& consume) {
    const auto scale = Simd::LoadShortF16(planes);
    U32 words[8];
    Block32Base<Simd>::Nibbles(planes, 1, words);
    Block32Base<Simd>::AddFifthBits(Simd::LoadPlane(planes, 0), words);
    consume.template Add<0>(scale, scale * -16.0f, words);
  }
};

template <class Simd>
struct DecodeQ5_1 : Block32Base<Simd> {
  using typename Block32Base<Simd>::U32;
  static constexpr uint32_t kMaxWeight = 31;
  template <class Planes, class Consume>
  static GS_INLINE void Decode(const Planes& planes, Consume& consume) {
    const F16Pair<Simd> factors(Simd::LoadPlane(planes, 0));
    U32 words[8];
    Block32Base<Simd>::Nibbles(planes, 2, words);
    Block32Base<Simd>::AddFifthBits(Simd::LoadPlane(planes, 1), words);
    consume.template Add<0>(factors.low, factors.high, words);
  }
};

template <class Simd>
struct DecodeQ8_0 : Block32Base<Simd> {
  using typename Block32Base<Simd>::U32;
  static constexpr uint32_t kMaxWeight = 255;
  template <class Planes, class Consume>
  static GS_INLINE void Decode(const Planes& planes, Consume& consume) {
    const auto scale = Simd::LoadShortF16(planes);
    U32 words[8];
#pragma GCC unroll 8
    for (uint32_t w = 0; w < 8; ++w) words[w] = Simd::LoadPlane(planes, w) ^ 0x80808080u;
    consume.template Add<0>(scale, scale * -128.0f, words);
  }
};

// The values of IQ4_NL and IQ4_XS, plus kIq4Offset.
inline constexpr float kIq4Offset = 128.0f;
inline constexpr uint8_t kIq4Table[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                          129, 141, 153, 166, 181, 197, 217, 241};

template <class Simd>
struct DecodeIq4Nl : Block32Base<Simd> {
  using typename Block32Base<Simd>::U32;
  static constexpr uint32_t kMaxWeight = 255;
  template <class Planes, class Consume>
  static GS_INLINE void Decode(const Planes& planes, Consume& consume) {
    const auto scale = Simd::LoadShortF16(planes);
    U32 words[8];
    Block32Base<Simd>::Nibbles(planes, 0, words);
#pragma GCC unroll 8
    for (uint32_t w = 0; w < 8; ++w) words[w] = Simd::LookUp(kIq4Table, words[w]);
    consume.template Add<0>(scale, scale * -kIq4Offset, words);
  }
};

// Twice the E2M1 values, plus 12.
inline constexpr uint8_t kMxfp4Table[16] = {12, 13, 14, 15, 16, 18, 20, 24,
                                            12, 11, 10, 9,  8,  6,  4,  0};

template <class Simd>
struct DecodeMxfp4 : Block32Base<Simd> {
  using typename Block32Base<Simd>::U32;
  static constexpr uint32_t kMaxWeight = 31;
  template <class Planes, class Consume>
  static GS_INLINE void Decode(const Planes& planes, Consume& consume) {
    // Half the block's scale, because the table is doubled.
    const auto scale = Simd::LoadShortPowerOfTwo(planes);
    U32 words[8];
    Block32Base<Simd>::Nibbles(planes, 0, words);
#pragma GCC unroll 8
    for (uint32_t w = 0; w < 8; ++w) words[w] = Simd::LookUp(kMxfp4Table, words[w]);
    consume.template Add<0>(scale, scale * -12.0f, words);
  }
};

}  // namespace gguf_shard
