// Vectors of 4 lanes: what every 64-bit ARM processor has (Advanced SIMD), no extension of it.
// Thread-safety: pure functions.
#pragma once

#include <arm_neon.h>

#include "kernels/cpu/simd_common.h"

namespace gguf_shard::neon {

struct Simd : VectorBase<Simd, 4> {
  static constexpr uint32_t kMaxTokensAtOnce = 4;
  static constexpr uint32_t kMaxTokensUnrolled = 4;
  static constexpr bool kUsualTiles = false;  // kernels of their own for usual tile heights
  static constexpr bool kPairs = false;       // two vectors of rows at once

  static GS_INLINE U32 LoadU16(const void* source) {
    return (U32)vmovl_u16(LoadAs<uint16x4_t>(source));
  }
  static GS_INLINE U32 LoadU8(const void* source) {
    return (U32)vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(LoadAs<uint32_t>(source)))));
  }
  static GS_INLINE F32 LoadF16(const void* source) {
    return (F32)vcvt_f32_f16((float16x4_t)LoadAs<uint16x4_t>(source));
  }
  static GS_INLINE void StoreF16(void* target, F32 value) {
    const auto halves = (uint16x4_t)vcvt_f16_f32((float32x4_t)value);
    __builtin_memcpy(target, &halves, sizeof halves);
  }
  // Of the low 16 bits of each lane.
  static GS_INLINE F32 F16ToF32(U32 bits) {
    return (F32)vcvt_f32_f16((float16x4_t)vmovn_u32((uint32x4_t)bits));
  }
  static GS_INLINE F32 ToF32(I32 value) { return (F32)vcvtq_f32_s32((int32x4_t)value); }
  // Of integers below 2^31.
  static GS_INLINE F32 ToF32(U32 value) { return ToF32((I32)value); }
  static GS_INLINE F32 MulAdd(F32 a, F32 b, F32 c) {
    return (F32)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
  }
  // The second operand when either is NaN.
  static GS_INLINE F32 Max(F32 a, F32 b) { return Select((U32)(a > b), a, b); }
  static GS_INLINE F32 Min(F32 a, F32 b) { return Select((U32)(a < b), a, b); }
  // Signed bytes to f32.
  static GS_INLINE F32 LoadI8(const void* source) {
    return ToF32((I32)vmovl_s16(vget_low_s16(vmovl_s8(vcreate_s8(LoadAs<uint32_t>(source))))));
  }

  // Replaces each byte, 0..15, by table[byte].
  static GS_INLINE U32 LookUp(const uint8_t (&table)[16], U32 indices) {
    return (U32)vqtbl1q_u8(vld1q_u8(table), (uint8x16_t)indices);
  }

  // Bits 4i..4i+3 of each lane become bit 4 of its four bytes.
  template <uint32_t kIndex>
  static GS_INLINE U32 FifthBits(U32 bits) {
    // Bit b times 2^(7b + 4) lands on bit 8b + 4; no two products meet on a bit.
    return ((bits >> (4 * kIndex) & 15u) * 0x02040810u) & 0x10101010u;
  }

  // sum over bytes of weight * (256 * high + low), exact: both factors fit 16 bits, and products of
  // 16 bits are added to 32 in one instruction. Each of the four sums is of one row.
  template <uint32_t kMaxWeight, uint32_t kWords>
  static GS_INLINE I32 Dot(const U32 (&words)[kWords], const int8_t* high, const int8_t* low) {
    static_assert(kWords % 2 == 0, "activations are taken eight at a time");
    int32x4_t sums[4] = {};
#pragma GCC unroll 4
    for (uint32_t w = 0; w < kWords; w += 2) {
      const int16x8_t x =
          vaddw_s8(vshlq_n_s16(vmovl_s8(vld1_s8(high + w * 4)), 8), vld1_s8(low + w * 4));
      AddProducts((uint8x16_t)words[w], vcombine_s16(vget_low_s16(x), vget_low_s16(x)), sums);
      AddProducts((uint8x16_t)words[w + 1], vcombine_s16(vget_high_s16(x), vget_high_s16(x)), sums);
    }
    return (I32)vpaddq_s32(vpaddq_s32(sums[0], sums[1]), vpaddq_s32(sums[2], sums[3]));
  }

 private:
  static GS_INLINE F32 Select(U32 mask, F32 yes, F32 no) {
    return (F32)vbslq_f32((uint32x4_t)mask, (float32x4_t)yes, (float32x4_t)no);
  }

  // `x`: the same four activations twice.
  static GS_INLINE void AddProducts(uint8x16_t word, int16x8_t x, int32x4_t (&sums)[4]) {
    const int16x8_t first = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(word)));
    const int16x8_t second = vreinterpretq_s16_u16(vmovl_high_u8(word));
    sums[0] = vmlal_s16(sums[0], vget_low_s16(first), vget_low_s16(x));
    sums[1] = vmlal_high_s16(sums[1], first, x);
    sums[2] = vmlal_s16(sums[2], vget_low_s16(second), vget_low_s16(x));
    sums[3] = vmlal_high_s16(sums[3], second, x);
  }
};

}  // namespace gguf_shard::neon
