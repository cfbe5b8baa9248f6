// The arithmetic of prediction: exact integers only, so that every machine predicts the same.
//
// A scale is mantissa * 2^exponent. The position of a base weight in units of the target's step is
// a fixed-point number with 12 fraction bits; contexts use it in quarter steps. Divisions truncate
// toward zero, shifts of negative numbers round down. Thread-safety: pure functions.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>

namespace gguf_shard {

struct Scale {
  int64_t mantissa = 0;  // magnitude below 2^24
  int32_t exponent = 0;
};

inline constexpr uint32_t kFractionBits = 12;
// Bounds that keep ratio * level + offset inside 32 bits, for levels below 2^11.
inline constexpr int32_t kMaxRatio = 1 << 19;
inline constexpr int32_t kMaxOffset = 1 << 28;

// Infinities and NaNs are read as numbers: any value will do, as long as it is the same everywhere.
constexpr Scale ScaleFromF16(uint16_t bits) {
  const int64_t fraction = bits & 0x3ff;
  const int32_t exponent = bits >> 10 & 0x1f;
  const int64_t magnitude = exponent == 0 ? fraction : fraction + 1024;
  return {(bits & 0x8000) != 0 ? -magnitude : magnitude, exponent == 0 ? -24 : exponent - 25};
}

// trunc(a / b * 2^12), within [-limit, limit]; 0 when b is 0. The definition: what codecs need
// comes in rows (delta/scale_row.h).
constexpr int32_t FixedRatio(Scale a, Scale b, int64_t limit) {
  if (a.mantissa == 0 || b.mantissa == 0) return 0;
  const int32_t shift = a.exponent - b.exponent + static_cast<int32_t>(kFractionBits);
  if (shift < -38) return 0;
  if (shift > 38)
    return static_cast<int32_t>((a.mantissa < 0) == (b.mantissa < 0) ? limit : -limit);
  const int64_t dividend = shift > 0 ? a.mantissa * (int64_t{1} << shift) : a.mantissa;
  const int64_t divisor = shift < 0 ? b.mantissa * (int64_t{1} << -shift) : b.mantissa;
  return static_cast<int32_t>(std::clamp(dividend / divisor, -limit, limit));
}

// Half octaves: floor(2 log2 |scale|) + 128, within [1, 255].
constexpr int32_t ScaleLevel(Scale scale) {
  const auto magnitude =
      static_cast<uint64_t>(scale.mantissa < 0 ? -scale.mantissa : scale.mantissa);
  if (magnitude == 0) return 1;
  const int32_t octave = static_cast<int32_t>(std::bit_width(magnitude)) - 1;
  const bool upper_half = magnitude * magnitude >= uint64_t{1} << (2 * octave + 1);
  return std::clamp(2 * (octave + scale.exponent) + (upper_half ? 1 : 0) + 128, 1, 255);
}

// A fixed-point position split at quarter steps: the nearest whole step and, in quarters from the
// lower edge of that step's range, where in it the position lies.
struct StepPosition {
  int32_t step;
  int32_t quarter;  // 0..3
};
constexpr StepPosition SplitPosition(int32_t fixed) {
  const int32_t quarters = (fixed + (1 << (kFractionBits - 3))) >> (kFractionBits - 2);
  return {(quarters + 2) >> 2, (quarters + 2) & 3};
}

// Residuals of `bits`-bit values, wrapped into [-2^(bits-1), 2^(bits-1)) and folded: 0, -1, 1, ...
constexpr uint8_t FoldResidual(int32_t residual, uint32_t bits) {
  const auto shift = 32 - bits;
  const int32_t wrapped = static_cast<int32_t>(static_cast<uint32_t>(residual) << shift) >> shift;
  return static_cast<uint8_t>(wrapped << 1 ^ wrapped >> 31);
}
constexpr int32_t UnfoldResidual(uint8_t symbol) {
  return static_cast<int32_t>(symbol >> 1) ^ -static_cast<int32_t>(symbol & 1);
}
// prediction + residual, wrapped into the `bits`-bit range that starts at `low`.
constexpr int32_t ApplyResidual(int32_t prediction, uint8_t symbol, int32_t low, uint32_t bits) {
  const int32_t value = prediction + UnfoldResidual(symbol) - low;
  return (value & static_cast<int32_t>((1u << bits) - 1)) + low;
}

}  // namespace gguf_shard
