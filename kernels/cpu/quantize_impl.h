// Quantization of activations in plain loops that compilers vectorize; Tag (a Simd class) makes the
// functions of each instruction set its own. Every step is exact or rounded once, so all of them
// give the same bits. Thread-safety: pure functions.
#pragma once

#include <cstdint>

#include "kernels/cpu/quantize_task.h"
#include "kernels/cpu/simd_common.h"

namespace gguf_shard {

template <class Tag>
struct Quantizer {
  static constexpr uint32_t kColumns = 32;
  static constexpr float kMaxInteger = 127 * 256;
  // Adding 1.5 * 2^23 rounds to an integer, ties to even, and leaves it in the low bits.
  static constexpr float kRounder = 12582912.0f;
  // Below, kMaxInteger / maximum may overflow; such a group is as good as zero.
  static constexpr float kSmallestMaximum = 1e-33f;

  static GS_INLINE void Group(const float* values, ActivationGroup* group,
                              ActivationFactors* factors) {
    const float maximum = Maximum(values);
    const float scale = maximum / kMaxInteger;
    const float inverse = maximum < kSmallestMaximum ? 0.0f : kMaxInteger / maximum;
    // Unsigned, so that a group with NaN or infinity, whose integers mean nothing, wraps quietly.
    uint32_t integers[kColumns];
    for (uint32_t i = 0; i < kColumns; ++i) {
      integers[i] = __builtin_bit_cast(uint32_t, values[i] * inverse + kRounder) -
                    __builtin_bit_cast(uint32_t, kRounder);
    }
    for (uint32_t i = 0; i < kColumns; ++i) {
      const uint32_t high = (integers[i] + 128) >> 8;
      group->high[i] = static_cast<int8_t>(high);
      group->low[i] = static_cast<int8_t>(integers[i] - (high << 8));
    }
    const uint32_t first = Sum16(integers);
    const uint32_t second = Sum16(integers + 16);
    factors->scale = scale;
    factors->sum = scale * static_cast<float>(static_cast<int32_t>(first + second));
    factors->half_sum[0] = scale * static_cast<float>(static_cast<int32_t>(first));
    factors->half_sum[1] = scale * static_cast<float>(static_cast<int32_t>(second));
  }

 private:
  // Of the magnitudes, compared as integers: in that order a NaN is the largest of all.
  static GS_INLINE float Maximum(const float* values) {
    uint32_t maximum = 0;
    for (uint32_t i = 0; i < kColumns; ++i) {
      const uint32_t magnitude = __builtin_bit_cast(uint32_t, values[i]) & 0x7fffffffu;
      maximum = magnitude > maximum ? magnitude : maximum;
    }
    return __builtin_bit_cast(float, maximum);
  }
  static GS_INLINE uint32_t Sum16(const uint32_t* integers) {
    uint32_t sum = 0;
    for (uint32_t i = 0; i < 16; ++i) sum += integers[i];
    return sum;
  }
};

}  // namespace gguf_shard
