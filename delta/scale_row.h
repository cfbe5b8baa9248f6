// Sixteen scales at once: what a group's units share. The same numbers as delta/prediction.h gives
// one by one, by wide instructions where there are any.
//
// Quotients are those of doubles, which are exact: mantissas have 24 bits, and dividing them rounds
// the same whatever the exponents. A dividend that a double cannot tell from the next one gives a
// quotient beyond every limit. Thread-safety: pure functions.
#pragma once

#include <array>
#include <cstdint>

#include "delta/prediction.h"

namespace gguf_shard {

inline constexpr uint32_t kRowScales = 16;
inline constexpr int32_t kLargestShift = 38;  // of a ratio; beyond: 0, or the limit

template <typename T>
using Row = std::array<T, kRowScales>;

struct ScaleRow {
  alignas(64) Row<int32_t> mantissa{};
  alignas(64) Row<int32_t> exponent{};

  Scale operator[](uint32_t i) const { return {mantissa[i], exponent[i]}; }
  void Set(uint32_t i, Scale scale) {
    mantissa[i] = static_cast<int32_t>(scale.mantissa);
    exponent[i] = scale.exponent;
  }
};

// scale * factors[i].
void MultiplyRow(Scale scale, const Row<int16_t>& factors, ScaleRow& products);
// ScaleFromF16(halves[i]), the first eight of the row.
void ScalesOfHalves(const std::array<uint16_t, 8>& halves, ScaleRow& row);
// FixedRatio(a[i], b[i], limit), of the first `count` scales: 8 or 16.
void FixedRatios(const ScaleRow& a, const ScaleRow& b, uint32_t count, int32_t limit,
                 Row<int32_t>& ratios);
// FixedRatio(a[i], divisor, limit), likewise.
void FixedRatiosTo(const ScaleRow& a, Scale divisor, uint32_t count, int32_t limit,
                   Row<int32_t>& ratios);
// ScaleLevel(scales[i]).
void ScaleLevels(const ScaleRow& scales, Row<int32_t>& levels);

}  // namespace gguf_shard
