// Where the base's weights of a group fall between the target's steps, for all weights at once, and
// the residuals to there. docs/FORMAT-DELTA.md, "quant". Thread-safety: pure functions.
#pragma once

#include <array>
#include <cstdint>

#include "delta/base_view.h"
#include "delta/quant_group.h"

namespace gguf_shard {

inline constexpr uint32_t kQuantEdges = 5;
inline constexpr uint32_t kQuantLevels = 17;
inline constexpr uint32_t kQuantContexts = 4 * kQuantEdges * kQuantLevels;

// What the weights of a unit share: position = ratio * level + start, with 12 fraction bits.
struct UnitPlaces {
  uint32_t unit_shift;  // that of the base's view
  alignas(64) Row<int32_t> ratio;
  alignas(64) Row<int32_t> start;
  alignas(64) Row<int32_t> level;  // of the target's slope against the noise, below kQuantLevels
};

// Of the sub-blocks of `target`, whose scales and minima are known.
void PlaceUnits(const QuantFormat& format, const BaseView& base, const QuantGroup& target,
                int32_t noise, UnitPlaces& places);

// The quants that a format has.
struct StepRange {
  int32_t low;
  int32_t high;
};
constexpr StepRange RangeOf(const QuantFormat& format) {
  return {format.quant_low, format.quant_low + (1 << format.quant_bits) - 1};
}

// Of one group: contexts and predicted quants go to where these point.
struct QuantPrediction {
  uint16_t* context;
  int8_t* quant;
};
void PredictQuants(const QuantFormat& format, const BaseView& base, const UnitPlaces& places,
                   uint32_t weight_count, const QuantPrediction& prediction);

// Folded residuals of `quant`, and back.
void FoldQuants(const QuantFormat& format, const int8_t* predicted, uint32_t weight_count,
                const int8_t* quant, uint8_t* symbols);
void UnfoldQuants(const QuantFormat& format, const int8_t* predicted, uint32_t weight_count,
                  const uint8_t* symbols, int8_t* quant);

// Which class a level falls in, given the noise.
constexpr int32_t LevelClass(int32_t level, int32_t noise, int32_t shift, int32_t last) {
  return std::clamp(level - noise + shift, 0, last);
}

}  // namespace gguf_shard
