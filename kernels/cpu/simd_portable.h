// Vectors of 4 lanes in standard operations only: what every processor has, and what compilers map
// to its 128-bit registers. Thread-safety: pure functions.
#pragma once

#include "kernels/cpu/simd_common.h"
#include "kernels/dequantize.h"

namespace gguf_shard::portable {

struct Simd : VectorBase<Simd, 4> {
  static constexpr uint32_t kMaxTokensAtOnce = 4;
  static constexpr uint32_t kMaxTokensUnrolled = 4;
  static constexpr bool kUsualTiles = false;  // kernels of their own for usual tile heights
  static constexpr bool kPairs = false;       // two vectors of rows at once

  static GS_INLINE U32 LoadU16(const void* source) { return LoadWide<uint16_t>(source); }
  static GS_INLINE U32 LoadU8(const void* source) { return LoadWide<uint8_t>(source); }
  static GS_INLINE F32 LoadF16(const void* source) { return F16ToF32(LoadU16(source)); }
  static GS_INLINE void StoreF16(void* target, F32 value) {
    uint16_t halves[kLanes];
    for (uint32_t lane = 0; lane < kLanes; ++lane) halves[lane] = F32ToF16(value[lane]);
    __builtin_memcpy(target, halves, sizeof halves);
  }
  // Of the low 16 bits of each lane.
  static GS_INLINE F32 F16ToF32(U32 bits) {
    const U32 magnitude = (bits & 0x7fffu) << 13;
    // A half's exponent field in a float is 112 too small; the product is exact, subnormals too.
    const U32 scaled = (U32)(BitsToF32(magnitude) * SplatF32(0x1p112f));
    const U32 not_finite = (U32)(magnitude >= 0x0f800000u);
    const U32 result = (scaled & ~not_finite) | ((magnitude | 0x7f800000u) & not_finite);
    return BitsToF32(result | (bits & 0x8000u) << 16);
  }
  static GS_INLINE F32 ToF32(I32 value) { return __builtin_convertvector(value, F32); }
  // Of integers below 2^31.
  static GS_INLINE F32 ToF32(U32 value) { return ToF32((I32)value); }
  static GS_INLINE F32 MulAdd(F32 a, F32 b, F32 c) { return a * b + c; }
  // The second operand when either is NaN.
  static GS_INLINE F32 Max(F32 a, F32 b) { return Select((I32)(a > b), a, b); }
  static GS_INLINE F32 Min(F32 a, F32 b) { return Select((I32)(a < b), a, b); }
  static GS_INLINE F32 Select(I32 mask, F32 yes, F32 no) {
    return (F32)(((I32)yes & mask) | ((I32)no & ~mask));
  }
  // Signed bytes to f32.
  static GS_INLINE F32 LoadI8(const void* source) { return ToF32((I32)LoadWide<int8_t>(source)); }

  // Replaces each byte, 0..15, by table[byte].
  static GS_INLINE U32 LookUp(const uint8_t (&table)[16], U32 indices) {
    uint8_t bytes[kLanes * 4];
    __builtin_memcpy(bytes, &indices, sizeof bytes);
    for (uint8_t& byte : bytes) byte = table[byte & 15];
    return LoadWords(bytes);
  }

  // Bits 4i..4i+3 of each lane become bit 4 of its four bytes.
  template <uint32_t kIndex>
  static GS_INLINE U32 FifthBits(U32 bits) {
    // Bit b times 2^(7b + 4) lands on bit 8b + 4; no two products meet on a bit.
    return ((bits >> (4 * kIndex) & 15u) * 0x02040810u) & 0x10101010u;
  }

  // sum over bytes of weight * (256 * high + low), exact. Not inlined: there are hundreds of uses.
  template <uint32_t kMaxWeight, uint32_t kWords>
  static __attribute__((noinline)) I32 Dot(const U32 (&words)[kWords], const int8_t* high,
                                           const int8_t* low) {
    I32 sum{};
    for (uint32_t w = 0; w < kWords; ++w) {
      for (uint32_t byte = 0; byte < 4; ++byte) {
        const I32 weight = (I32)(words[w] >> (8 * byte) & 255u);
        sum += weight * (256 * high[w * 4 + byte] + low[w * 4 + byte]);
      }
    }
    return sum;
  }

 private:
  template <class T>
  static GS_INLINE U32 LoadWide(const void* source) {
    T narrow[kLanes];
    __builtin_memcpy(narrow, source, sizeof narrow);
    I32 wide;
    for (uint32_t lane = 0; lane < kLanes; ++lane) wide[lane] = narrow[lane];
    return (U32)wide;
  }
};

}  // namespace gguf_shard::portable
