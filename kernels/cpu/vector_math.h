// Loads of partial vectors, sums over lanes, and exp, for any Simd class.
// Thread-safety: pure functions.
#pragma once

#include "kernels/cpu/simd_common.h"

namespace gguf_shard {

template <class Simd>
struct VectorMath {
  using F32 = typename Simd::F32;
  using I32 = typename Simd::I32;
  static constexpr size_t kLanes = Simd::kLanes;

  // The first `count` values, the other lanes zero.
  static GS_INLINE F32 Load(const float* source, size_t count) {
    if (count >= kLanes) return Simd::LoadF32(source);
    F32 value = Simd::ZeroF32();
    __builtin_memcpy(&value, source, count * sizeof(float));
    return value;
  }
  static GS_INLINE void Store(float* target, F32 value, size_t count) {
    if (count >= kLanes) {
      Simd::StoreF32(target, value);
    } else {
      __builtin_memcpy(target, &value, count * sizeof(float));
    }
  }

  // Over the lanes, halves upon halves.
  static GS_INLINE float Sum(F32 value) {
    float lanes[kLanes];
    __builtin_memcpy(lanes, &value, sizeof lanes);
    for (size_t half = kLanes / 2; half > 0; half /= 2) {
      for (size_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
    }
    return lanes[0];
  }

  // Of the lanes, none of them NaN.
  static GS_INLINE float Largest(F32 value) {
    float lanes[kLanes];
    __builtin_memcpy(lanes, &value, sizeof lanes);
    for (size_t half = kLanes / 2; half > 0; half /= 2) {
      for (size_t i = 0; i < half; ++i) {
        lanes[i] = lanes[i] > lanes[i + half] ? lanes[i] : lanes[i + half];
      }
    }
    return lanes[0];
  }

  // e^x within 2 units in the last place; 0 and infinity where f32 ends, NaN stays NaN.
  static GS_INLINE F32 Exp(F32 x) {
    // Outside of these bounds the result is 0 or infinity already.
    x = Simd::Min(Simd::SplatF32(89.0f), Simd::Max(Simd::SplatF32(-104.0f), x));
    // x = n ln 2 + r, |r| <= ln 2 / 2. Adding 1.5 * 2^23 rounds to an integer and leaves it in the
    // low bits; ln 2 in two parts, the first short enough that n times it is exact.
    const F32 rounder = Simd::SplatF32(12582912.0f);
    const F32 biased = Simd::MulAdd(x, Simd::SplatF32(1.44269504f), rounder);
    const F32 n = biased - rounder;
    F32 r = Simd::MulAdd(n, Simd::SplatF32(-0.693359375f), x);
    r = Simd::MulAdd(n, Simd::SplatF32(2.12194440e-4f), r);
    // The Taylor series: the first term left out, r^8 / 8!, is below 6e-9.
    F32 sum = Simd::SplatF32(1.0f / 5040);
    sum = Simd::MulAdd(sum, r, Simd::SplatF32(1.0f / 720));
    sum = Simd::MulAdd(sum, r, Simd::SplatF32(1.0f / 120));
    sum = Simd::MulAdd(sum, r, Simd::SplatF32(1.0f / 24));
    sum = Simd::MulAdd(sum, r, Simd::SplatF32(1.0f / 6));
    sum = Simd::MulAdd(sum, r, Simd::SplatF32(0.5f));
    sum = Simd::MulAdd(sum * r, r, r) + 1.0f;
    // 2^n in two factors, because n runs from -150 to 128.
    const I32 exponent = (I32)biased - (I32)rounder;
    const I32 half = exponent >> 1;
    return sum * PowerOfTwo(half) * PowerOfTwo(exponent - half);
  }

 private:
  static GS_INLINE F32 PowerOfTwo(I32 exponent) { return (F32)((exponent + 127) << 23); }
};

}  // namespace gguf_shard
