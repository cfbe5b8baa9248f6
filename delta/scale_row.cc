#include "delta/scale_row.h"

#include <bit>

#include "delta/scales_avx512.h"
#include "delta/wide.h"

namespace gguf_shard {
namespace {

GS_WIDE inline double PowerOfTwo(int32_t exponent) {
  return std::bit_cast<double>(static_cast<uint64_t>(1023 + exponent) << 52);
}

GS_WIDE inline int32_t RatioOf(int32_t a, int32_t b, int32_t shift, int32_t limit) {
  const int32_t inside = shift > 60 ? 60 : shift < -60 ? -60 : shift;
  const double divisor = b == 0 ? 1 : b;
  double quotient = a / divisor * PowerOfTwo(inside);
  const double bound = limit;
  quotient = quotient > bound ? bound : quotient;
  quotient = quotient < -bound ? -bound : quotient;
  const int32_t beyond = (a ^ b) < 0 ? -limit : limit;
  const int32_t ratio = shift > kLargestShift ? beyond : static_cast<int32_t>(quotient);
  return a == 0 || b == 0 ? 0 : ratio;
}

GS_WIDE inline int32_t LevelOf(int32_t mantissa, int32_t exponent) {
  // As a float: its exponent is the octave, its fraction says which half.
  constexpr int32_t kUpperHalf = 0x3504F4;  // from the root of 2 on
  const auto bits = std::bit_cast<int32_t>(static_cast<float>(mantissa < 0 ? -mantissa : mantissa));
  const int32_t octave = (bits >> 23) - 127;
  const int32_t half = (bits & 0x7fffff) >= kUpperHalf ? 1 : 0;
  const int32_t level = 2 * (octave + exponent) + half + 128;
  const int32_t inside = level < 1 ? 1 : level > 255 ? 255 : level;
  return mantissa == 0 ? 1 : inside;
}

#if defined(__x86_64__)
GS_TARGET_AVX512 void FixedRatiosAvx512(const ScaleRow& a, const ScaleRow& b, uint32_t count,
                                        int32_t limit, Row<int32_t>& ratios) {
  for (uint32_t i = 0; i < count; i += 8) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(ratios.data() + i),
                        RatiosOf(LoadScales(a, i), LoadScales(b, i), limit));
  }
}

GS_TARGET_AVX512 void RatiosToAvx512(const ScaleRow& a, Scale divisor, uint32_t count,
                                     int32_t limit, Row<int32_t>& ratios) {
  const Scales8 divisors = SameScales(divisor);
  for (uint32_t i = 0; i < count; i += 8) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(ratios.data() + i),
                        RatiosOf(LoadScales(a, i), divisors, limit));
  }
}
#endif

}  // namespace

void MultiplyRow(Scale scale, const Row<int16_t>& factors, ScaleRow& products) {
  const auto mantissa = static_cast<int32_t>(scale.mantissa);
  RunWide([mantissa, exponent = scale.exponent, from = factors.data(),
           to = products.mantissa.data(), exponents = products.exponent.data()]() GS_WIDE {
    for (uint32_t i = 0; i < kRowScales; ++i) to[i] = mantissa * from[i];
    for (uint32_t i = 0; i < kRowScales; ++i) exponents[i] = exponent;
  });
}

void ScalesOfHalves(const std::array<uint16_t, 8>& halves, ScaleRow& row) {
  RunWide([from = halves.data(), to = row.mantissa.data(), exponents = row.exponent.data()]()
              GS_WIDE {
                for (uint32_t i = 0; i < 8; ++i) {
                  const int32_t fraction = from[i] & 0x3ff;
                  const int32_t exponent = from[i] >> 10 & 0x1f;
                  const int32_t magnitude = exponent == 0 ? fraction : fraction + 1024;
                  to[i] = (from[i] & 0x8000) != 0 ? -magnitude : magnitude;
                  exponents[i] = exponent == 0 ? -24 : exponent - 25;
                }
              });
}

void FixedRatios(const ScaleRow& a, const ScaleRow& b, uint32_t count, int32_t limit,
                 Row<int32_t>& ratios) {
#if defined(__x86_64__)
  if (WideInUse() == Wide::kAvx512) return FixedRatiosAvx512(a, b, count, limit, ratios);
#endif
  RunWide([&]() GS_WIDE {
    for (uint32_t i = 0; i < count; ++i) {
      const int32_t shift = a.exponent[i] - b.exponent[i] + static_cast<int32_t>(kFractionBits);
      ratios[i] = RatioOf(a.mantissa[i], b.mantissa[i], shift, limit);
    }
  });
}

void FixedRatiosTo(const ScaleRow& a, Scale divisor, uint32_t count, int32_t limit,
                   Row<int32_t>& ratios) {
#if defined(__x86_64__)
  if (WideInUse() == Wide::kAvx512) return RatiosToAvx512(a, divisor, count, limit, ratios);
#endif
  const auto mantissa = static_cast<int32_t>(divisor.mantissa);
  RunWide([&]() GS_WIDE {
    for (uint32_t i = 0; i < count; ++i) {
      const int32_t shift = a.exponent[i] - divisor.exponent + static_cast<int32_t>(kFractionBits);
      ratios[i] = RatioOf(a.mantissa[i], mantissa, shift, limit);
    }
  });
}

void ScaleLevels(const ScaleRow& scales, Row<int32_t>& levels) {
  RunWide([&]() GS_WIDE {
    for (uint32_t i = 0; i < kRowScales; ++i) {
      levels[i] = LevelOf(scales.mantissa[i], scales.exponent[i]);
    }
  });
}

}  // namespace gguf_shard
