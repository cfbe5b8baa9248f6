// The operations of a transformer layer on f32 vectors, for any Simd class. Sums run in four
// accumulators of kLanes lanes, joined in one order. Thread-safety: pure functions.
#pragma once

#include "kernels/cpu/vector_math.h"

namespace gguf_shard {

template <class Simd>
struct VectorOps {
  using Math = VectorMath<Simd>;
  using F32 = typename Simd::F32;
  static constexpr size_t kLanes = Simd::kLanes;

  static void RmsNorm(const float* x, const float* weight, float epsilon, size_t count, float* y) {
    const float mean = SumOfSquares(x, count) / static_cast<float>(count);
    const float factor = 1.0f / __builtin_sqrtf(mean + epsilon);
    for (size_t i = 0; i < count; i += kLanes) {
      const size_t left = count - i;
      Math::Store(y + i, Math::Load(x + i, left) * factor * Math::Load(weight + i, left), left);
    }
  }

  static void AddInPlace(float* x, const float* y, size_t count) {
    for (size_t i = 0; i < count; i += kLanes) {
      const size_t left = count - i;
      Math::Store(x + i, Math::Load(x + i, left) + Math::Load(y + i, left), left);
    }
  }

  static void AddScaled(float* x, const float* y, float factor, size_t count) {
    const F32 factors = Simd::SplatF32(factor);
    for (size_t i = 0; i < count; i += kLanes) {
      const size_t left = count - i;
      const F32 sum = Simd::MulAdd(factors, Math::Load(y + i, left), Math::Load(x + i, left));
      Math::Store(x + i, sum, left);
    }
  }

  static void SwiGlu(const float* gate, const float* up, size_t count, float* y) {
    for (size_t i = 0; i < count; i += kLanes) {
      const size_t left = count - i;
      const F32 g = Math::Load(gate + i, left);
      const F32 silu = g / (Math::Exp(-g) + 1.0f);
      Math::Store(y + i, silu * Math::Load(up + i, left), left);
    }
  }

  // Plain loops: compilers vectorize them, and contraction is off, so every width gives the same.
  static void RotateAdjacent(const float* cosine_sine, size_t pair_count, float* head) {
    for (size_t i = 0; i < 2 * pair_count; i += 2) {
      const float x = head[i];
      const float y = head[i + 1];
      head[i] = x * cosine_sine[i] - y * cosine_sine[i + 1];
      head[i + 1] = x * cosine_sine[i + 1] + y * cosine_sine[i];
    }
  }
  static void RotateHalves(const float* cosine_sine, size_t pair_count, float* head) {
    float* second = head + pair_count;
    for (size_t pair = 0; pair < pair_count; ++pair) {
      const float cosine = cosine_sine[2 * pair];
      const float sine = cosine_sine[2 * pair + 1];
      const float x = head[pair];
      const float y = second[pair];
      head[pair] = x * cosine - y * sine;
      second[pair] = x * sine + y * cosine;
    }
  }

  static void Softmax(float* x, size_t count) {
    if (count == 0) return;
    const F32 maximum = Simd::SplatF32(Maximum(x, count));
    F32 sums = Simd::ZeroF32();
    for (size_t i = 0; i < count; i += kLanes) {
      const size_t left = count - i;
      const F32 power = Math::Exp(Math::Load(x + i, left) - maximum);
      Math::Store(x + i, power, left);
      sums += Math::Load(x + i, left);  // lanes behind the end count as zero
    }
    const F32 factor = Simd::SplatF32(1.0f / Math::Sum(sums));
    for (size_t i = 0; i < count; i += kLanes) {
      Math::Store(x + i, Math::Load(x + i, count - i) * factor, count - i);
    }
  }

 private:
  static float SumOfSquares(const float* x, size_t count) {
    F32 sums[4] = {Simd::ZeroF32(), Simd::ZeroF32(), Simd::ZeroF32(), Simd::ZeroF32()};
    size_t i = 0;
    for (; i + 4 * kLanes <= count; i += 4 * kLanes) {
      for (size_t k = 0; k < 4; ++k) {
        const F32 value = Simd::LoadF32(x + i + k * kLanes);
        sums[k] = Simd::MulAdd(value, value, sums[k]);
      }
    }
    for (; i < count; i += kLanes) {
      const F32 value = Math::Load(x + i, count - i);
      sums[0] = Simd::MulAdd(value, value, sums[0]);
    }
    return Math::Sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
  }

  static float Maximum(const float* x, size_t count) {
    F32 maximum = Simd::SplatF32(x[0]);
    size_t i = 0;
    for (; i + kLanes <= count; i += kLanes) maximum = Simd::Max(maximum, Simd::LoadF32(x + i));
    float largest = maximum[0];
    for (size_t lane = 1; lane < kLanes; ++lane) {
      largest = largest > maximum[lane] ? largest : maximum[lane];
    }
    for (; i < count; ++i) largest = largest > x[i] ? largest : x[i];
    return largest;
  }
};

}  // namespace gguf_shard
