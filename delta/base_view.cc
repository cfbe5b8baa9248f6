#include "delta/base_view.h"

#include <algorithm>

#include "core/bytes.h"
#include "core/check.h"
#include "delta/wide.h"

namespace gguf_shard {
namespace {

constexpr int32_t kFloatLevelBits = 11;

Scale ScaleFromF32(uint32_t bits) {
  const int64_t fraction = bits & 0x7fffff;
  const auto exponent = static_cast<int32_t>(bits >> 23 & 0xff);
  const int64_t magnitude = exponent == 0 ? fraction : fraction + (1 << 23);
  return {bits >> 31 != 0 ? -magnitude : magnitude, std::max(exponent, 1) - 150};
}

// The exponent of a value's leading bit; very small for zero.
int32_t LeadingExponent(Scale value) {
  if (value.mantissa == 0) return -1000;
  const auto magnitude = static_cast<uint64_t>(std::abs(value.mantissa));
  return static_cast<int32_t>(std::bit_width(magnitude)) + value.exponent;
}

// value / 2^exponent, truncated toward zero.
int32_t LevelOf(Scale value, int32_t exponent) {
  const int32_t shift = exponent - value.exponent;
  if (shift > 24) return 0;
  return static_cast<int32_t>(shift >= 0 ? value.mantissa / (int64_t{1} << shift)
                                         : value.mantissa * (int64_t{1} << std::min(-shift, 11)));
}

// One scale of each block of 32 weights, for its one or two units.
void SpreadHalves(const std::array<uint16_t, 8>& halves, uint32_t unit_shift, ScaleRow& row) {
  if (unit_shift == 1) return ScalesOfHalves(halves, row);
  for (uint32_t unit = 0; unit < kRowScales; ++unit) row.Set(unit, ScaleFromF16(halves[unit / 2]));
}

// What sub-blocks have, for each of their units: itself, or in `units`.
const Row<int16_t>& OfUnits(const QuantFormat& format, uint32_t unit_shift,
                            const Row<int16_t>& subs, Row<int16_t>& units) {
  if (format.sub_weights == kViewUnit << unit_shift) return subs;
  for (uint32_t unit = 0; unit < kRowScales; ++unit) units[unit] = subs[unit / 2];
  return units;
}

}  // namespace

Scale FloatScale(TensorType type, const std::byte* values, uint64_t index) {
  switch (type) {
    case TensorType::kF32:
      return ScaleFromF32(LoadLe<uint32_t>(values + index * 4));
    case TensorType::kF16:
      return ScaleFromF16(LoadLe<uint16_t>(values + index * 2));
    default:
      return ScaleFromF32(uint32_t{LoadLe<uint16_t>(values + index * 2)} << 16);
  }
}

uint32_t UnitShift(TensorType target_type, TensorType base_type) {
  const QuantFormat* target = FindQuantFormat(target_type);
  const QuantFormat* base = FindQuantFormat(base_type);
  if (target == nullptr || base == nullptr) return 0;
  return target->sub_weights == 2 * kViewUnit && base->sub_weights == 2 * kViewUnit ? 1 : 0;
}

void UnitSlopes(const QuantFormat& format, const QuantGroup& group, uint32_t unit_shift,
                ScaleRow& slopes) {
  if (format.scale_bits == 0) return SpreadHalves(group.d, unit_shift, slopes);
  Row<int16_t> units;
  MultiplyRow(ScaleFromF16(group.d[0]), OfUnits(format, unit_shift, group.scale, units), slopes);
}

void UnitOffsets(const QuantFormat& format, const QuantGroup& group, uint32_t unit_shift,
                 ScaleRow& offsets) {
  if (!format.has_m) {
    offsets = {};
  } else if (format.min_bits == 0) {
    SpreadHalves(group.m, unit_shift, offsets);
  } else {
    Scale m = ScaleFromF16(group.m[0]);
    if (format.m_is_subtracted) m.mantissa = -m.mantissa;
    Row<int16_t> units;
    MultiplyRow(m, OfUnits(format, unit_shift, group.min, units), offsets);
  }
}

bool CanView(TensorType type) {
  return FindQuantFormat(type) != nullptr || type == TensorType::kF32 || type == TensorType::kF16 ||
         type == TensorType::kBF16;
}

void ViewQuantGroup(const QuantFormat& format, const QuantGroup& group, uint32_t weight_count,
                    BaseView& view) {
  UnitSlopes(format, group, view.unit_shift, view.slope);
  UnitOffsets(format, group, view.unit_shift, view.offset);
  if (format.has_codebook) {
    for (uint32_t i = 0; i < weight_count; ++i) {
      view.level[i] = kIq4Codebook[static_cast<uint8_t>(group.quant[i])];
    }
    return;
  }
  RunWide([&]() GS_WIDE {
    for (uint32_t i = 0; i < kGroupWeights; ++i) view.level[i] = group.quant[i];
  });
}

void ViewFloats(TensorType type, const std::byte* values, uint32_t weight_count, BaseView& view) {
  view.slope = {};
  view.offset = {};
  for (uint32_t unit = 0; unit < weight_count / kViewUnit; ++unit) {
    std::array<Scale, kViewUnit> weights;
    int32_t leading = -1000;
    for (uint32_t i = 0; i < kViewUnit; ++i) {
      weights[i] = FloatScale(type, values, unit * kViewUnit + i);
      leading = std::max(leading, LeadingExponent(weights[i]));
    }
    const int32_t exponent = leading - kFloatLevelBits;
    view.slope.Set(unit, {leading == -1000 ? 0 : 1, exponent});
    for (uint32_t i = 0; i < kViewUnit; ++i) {
      view.level[unit * kViewUnit + i] = static_cast<int16_t>(LevelOf(weights[i], exponent));
    }
  }
}

void ViewBlocks(TensorType type, const std::byte* blocks, uint32_t weight_count, QuantGroup& group,
                BaseView& view) {
  const QuantFormat* format = FindQuantFormat(type);
  if (format == nullptr) return ViewFloats(type, blocks, weight_count, view);
  UnpackGroup(type, blocks, weight_count / GetTensorType(type).block_weights, group);
  ViewQuantGroup(*format, group, weight_count, view);
}

}  // namespace gguf_shard
