// Scalar conversions between f32 and the 16-bit float formats, from their bit definitions.
#include <bit>

#include "kernels/dequantize.h"

namespace gguf_shard {
namespace {

constexpr uint32_t kF32ExponentMask = 0x7f800000;

// Drops `count` low bits, 1..31, rounding to nearest, ties to even.
uint32_t ShiftRightToEven(uint32_t bits, uint32_t count) {
  const uint32_t half = uint32_t{1} << (count - 1);
  const uint32_t odd = (bits >> count) & 1;
  return (bits + half - 1 + odd) >> count;
}

}  // namespace

float F16ToF32(uint16_t bits) {
  const uint32_t sign = uint32_t{bits & 0x8000u} << 16;
  const uint32_t exponent = (bits >> 10) & 31u;
  const uint32_t mantissa = bits & 0x3ffu;
  if (exponent == 31) return std::bit_cast<float>(sign | kF32ExponentMask | mantissa << 13);
  if (exponent != 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
  const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
}

uint16_t F32ToF16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = bits >> 16 & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  uint32_t half;
  if (magnitude > kF32ExponentMask) {  // NaN: stays quiet, keeps the upper payload
    half = 0x7e00u | (magnitude >> 13 & 0x1ffu);
  } else if (magnitude >= 0x47800000u) {  // 65536 and above, infinity
    half = 0x7c00u;
  } else if (magnitude >= 0x38800000u) {  // normal; rounding may carry up to infinity
    half = ShiftRightToEven(magnitude, 13) - (112u << 10);
  } else if (magnitude >= 0x33000000u) {  // subnormal: units of 2^-24
    const uint32_t mantissa = (magnitude & 0x7fffffu) | 0x800000u;
    half = ShiftRightToEven(mantissa, 126 - (magnitude >> 23));
  } else {
    half = 0;
  }
  return static_cast<uint16_t>(sign | half);
}

float Bf16ToF32(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

}  // namespace gguf_shard
