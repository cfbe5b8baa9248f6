// Two vectors of rows as one: the decoders written for a Simd class then work on twice the rows,
// and both halves share what does not depend on the row, above all the broadcasts of activations.
// Independent sums next to each other also hide the latency of the products.
//
// The halves need not be neighbours: BlockPlanes says how far apart their rows are. Only what the
// decoders and the tiles use is here. Thread-safety: pure functions.
#pragma once

#include "kernels/cpu/simd_common.h"

namespace gguf_shard {

template <class Half>
struct PairSimd {
  using HalfU32 = typename Half::U32;
  using HalfF32 = typename Half::F32;

  struct U32 {
    HalfU32 a, b;
    friend GS_INLINE U32 operator&(U32 x, uint32_t y) { return {x.a & y, x.b & y}; }
    friend GS_INLINE U32 operator|(U32 x, U32 y) { return {x.a | y.a, x.b | y.b}; }
    friend GS_INLINE U32 operator^(U32 x, uint32_t y) { return {x.a ^ y, x.b ^ y}; }
    friend GS_INLINE U32 operator<<(U32 x, uint32_t y) { return {x.a << y, x.b << y}; }
    friend GS_INLINE U32 operator>>(U32 x, uint32_t y) { return {x.a >> y, x.b >> y}; }
    GS_INLINE U32& operator|=(U32 y) { return *this = *this | y; }
  };
  struct F32 {
    HalfF32 a, b;
    friend GS_INLINE F32 operator*(F32 x, F32 y) { return {x.a * y.a, x.b * y.b}; }
    friend GS_INLINE F32 operator*(F32 x, float y) { return {x.a * y, x.b * y}; }
    friend GS_INLINE F32 operator-(F32 x, float y) { return {x.a - y, x.b - y}; }
    friend GS_INLINE F32 operator-(F32 x) { return {-x.a, -x.b}; }
  };
  struct I32 {
    typename Half::I32 a, b;
  };

  // The planes of the other vector.
  template <class Planes>
  static GS_INLINE Planes Second(const Planes& planes) {
    Planes second = planes;
    second.words += planes.second_words;
    second.shorts += planes.second_shorts;
    return second;
  }
  template <class Planes>
  static GS_INLINE U32 LoadPlane(const Planes& planes, uint32_t word) {
    return {Half::LoadPlane(planes, word), Half::LoadPlane(Second(planes), word)};
  }
  template <class Planes>
  static GS_INLINE F32 LoadShortF16(const Planes& planes) {
    return {Half::LoadShortF16(planes), Half::LoadShortF16(Second(planes))};
  }
  template <class Planes>
  static GS_INLINE F32 LoadShortPowerOfTwo(const Planes& planes) {
    return {Half::LoadShortPowerOfTwo(planes), Half::LoadShortPowerOfTwo(Second(planes))};
  }
  static GS_INLINE F32 F16ToF32(U32 bits) {
    return {Half::F16ToF32(bits.a), Half::F16ToF32(bits.b)};
  }
  static GS_INLINE F32 ByteToF32(U32 word, uint32_t byte) {
    return {Half::ByteToF32(word.a, byte), Half::ByteToF32(word.b, byte)};
  }
  static GS_INLINE F32 SignedByteToF32(U32 word, uint32_t byte) {
    return {Half::SignedByteToF32(word.a, byte), Half::SignedByteToF32(word.b, byte)};
  }
  static GS_INLINE F32 ToF32(U32 value) { return {Half::ToF32(value.a), Half::ToF32(value.b)}; }
  static GS_INLINE F32 ToF32(I32 value) { return {Half::ToF32(value.a), Half::ToF32(value.b)}; }
  static GS_INLINE F32 SplatF32(float value) {
    const HalfF32 half = Half::SplatF32(value);
    return {half, half};
  }
  static GS_INLINE F32 MulAdd(F32 a, F32 b, F32 c) {
    return {Half::MulAdd(a.a, b.a, c.a), Half::MulAdd(a.b, b.b, c.b)};
  }
  static GS_INLINE U32 LookUp(const uint8_t (&table)[16], U32 indices) {
    return {Half::LookUp(table, indices.a), Half::LookUp(table, indices.b)};
  }
  template <uint32_t kIndex>
  static GS_INLINE U32 FifthBits(U32 bits) {
    return {Half::template FifthBits<kIndex>(bits.a), Half::template FifthBits<kIndex>(bits.b)};
  }

  template <uint32_t kMaxWeight, uint32_t kWords>
  static GS_INLINE I32 Dot(const U32 (&words)[kWords], const int8_t* high, const int8_t* low) {
    I32 sums;
    Half::template DotPair<kWords>(words, high, low, &sums.a, &sums.b);
    return sums;
  }
};

}  // namespace gguf_shard
