#include "delta/quant_predict.h"

#include "delta/wide.h"

namespace gguf_shard {
namespace {

constexpr int32_t kCodebookLow = -140;  // positions outside are as good as these
constexpr int32_t kCodebookHigh = 130;

// Where a position between the levels of the IQ4 codebook falls.
struct CodebookPlace {
  uint8_t index;
  uint8_t quarter_and_edge;  // quarter + 4 edge
};

using CodebookPlaces = std::array<CodebookPlace, kCodebookHigh - kCodebookLow + 1>;

// The nearest level (the lower on a tie), and in which quarter of its range the position lies; the
// outermost ranges are as wide outward as inward.
constexpr CodebookPlace PlaceInCodebook(int32_t position) {
  int32_t index = 0;
  while (index < 15 && 2 * position > kIq4Codebook[index] + kIq4Codebook[index + 1]) ++index;
  const int32_t level = kIq4Codebook[index];
  const int32_t below = index > 0 ? level - kIq4Codebook[index - 1] : kIq4Codebook[1] - level;
  const int32_t above = index < 15 ? kIq4Codebook[index + 1] - level : level - kIq4Codebook[14];
  const int32_t offset = 2 * (position - level) + below;
  const int32_t edge = offset < 0               ? 3
                       : offset > below + above ? 4
                       : index == 0             ? 1
                       : index == 15            ? 2
                                                : 0;
  const int32_t quarter = std::clamp(4 * offset / (below + above), 0, 3);
  return {static_cast<uint8_t>(index), static_cast<uint8_t>(quarter + 4 * edge)};
}

constexpr CodebookPlaces MakeCodebookPlaces() {
  CodebookPlaces places{};
  for (int32_t p = kCodebookLow; p <= kCodebookHigh; ++p) {
    places[static_cast<size_t>(p - kCodebookLow)] = PlaceInCodebook(p);
  }
  return places;
}
constexpr CodebookPlaces kCodebookPlaces = MakeCodebookPlaces();

void PredictIndexes(const BaseView& base, const UnitPlaces& places, uint32_t weight_count,
                    QuantPrediction& prediction) {
  for (uint32_t i = 0; i < weight_count; ++i) {
    const uint32_t unit = i / kViewUnit;
    const int32_t position =
        (places.ratio[unit] * base.level[i] + places.start[unit] + (1 << (kFractionBits - 1))) >>
        kFractionBits;
    const CodebookPlace place = kCodebookPlaces[static_cast<size_t>(
        std::clamp(position, kCodebookLow, kCodebookHigh) - kCodebookLow)];
    prediction.quant[i] = static_cast<int8_t>(place.index);
    prediction.context[i] = static_cast<uint16_t>(
        4 * kQuantEdges * static_cast<uint32_t>(places.level[unit]) + place.quarter_and_edge);
  }
}

}  // namespace

void PlaceUnits(const QuantFormat& format, const BaseView& base, const QuantGroup& target,
                int32_t noise, uint32_t weight_count, UnitPlaces& places) {
  const uint32_t step = std::min(base.unit_weights, format.sub_weights) / kViewUnit;
  const uint32_t units_per_sub = format.sub_weights / kViewUnit;
  Scale slope;
  int32_t target_start = 0;
  int32_t level = 0;
  for (uint32_t unit = 0; unit < weight_count / kViewUnit; unit += step) {
    if (unit % units_per_sub == 0) {
      slope = SubSlope(format, target, unit / units_per_sub);
      target_start = FixedRatio(SubOffset(format, target, unit / units_per_sub), slope, kMaxOffset);
      level = LevelClass(ScaleLevel(slope), noise, 4, static_cast<int32_t>(kQuantLevels) - 1);
    }
    const int32_t ratio = FixedRatio(base.slope[unit], slope, kMaxRatio);
    const int64_t shift = int64_t{FixedRatio(base.offset[unit], slope, kMaxOffset)} - target_start;
    for (uint32_t i = unit; i < unit + step; ++i) {
      places.ratio[i] = ratio;
      places.start[i] = static_cast<int32_t>(std::clamp(shift, -kMaxOffset, kMaxOffset));
      places.level[i] = level;
    }
  }
}

void PredictQuants(const QuantFormat& format, const BaseView& base, const UnitPlaces& places,
                   uint32_t weight_count, QuantPrediction& prediction) {
  if (format.has_codebook) return PredictIndexes(base, places, weight_count, prediction);
  const int32_t low = format.quant_low;
  const int32_t high = low + (1 << format.quant_bits) - 1;
  RunWide([&]() GS_WIDE {
    for (uint32_t unit = 0; unit < weight_count / kViewUnit; ++unit) {
      const int32_t ratio = places.ratio[unit];
      const int32_t start = places.start[unit];
      const int32_t level_context = static_cast<int32_t>(4 * kQuantEdges) * places.level[unit];
      const int16_t* const level = base.level.data() + unit * kViewUnit;
      int8_t* const quant = prediction.quant.data() + unit * kViewUnit;
      uint16_t* const context = prediction.context.data() + unit * kViewUnit;
      for (uint32_t i = 0; i < kViewUnit; ++i) {
        const StepPosition position = SplitPosition(ratio * level[i] + start);
        // 0 inside; at the edges 1 and 2, beyond them 3 and 4.
        const int32_t edge = (position.step == low ? 1 : 0) + (position.step == high ? 2 : 0) +
                             (position.step < low ? 3 : 0) + (position.step > high ? 4 : 0);
        quant[i] = static_cast<int8_t>(std::min(std::max(position.step, low), high));
        context[i] = static_cast<uint16_t>(level_context + position.quarter + 4 * edge);
      }
    }
  });
}

void FoldQuants(const QuantFormat& format, const QuantPrediction& prediction, uint32_t weight_count,
                const int8_t* quant, uint8_t* symbols) {
  const uint32_t bits = format.quant_bits;
  RunWide([&]() GS_WIDE {
    for (uint32_t i = 0; i < weight_count; ++i) {
      symbols[i] = FoldResidual(quant[i] - prediction.quant[i], bits);
    }
  });
}

void UnfoldQuants(const QuantFormat& format, const QuantPrediction& prediction,
                  uint32_t weight_count, const uint8_t* symbols, int8_t* quant) {
  const uint32_t bits = format.quant_bits;
  const int32_t low = format.quant_low;
  RunWide([&]() GS_WIDE {
    for (uint32_t i = 0; i < weight_count; ++i) {
      quant[i] = static_cast<int8_t>(ApplyResidual(prediction.quant[i], symbols[i], low, bits));
    }
  });
}

}  // namespace gguf_shard
