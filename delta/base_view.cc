#include "delta/base_view.h"

#include <algorithm>

#include "core/bytes.h"
#include "core/check.h"

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

Scale SubSlope(const QuantFormat& format, const QuantGroup& group, uint32_t sub) {
  if (format.scale_bits == 0) return ScaleFromF16(group.d[sub]);
  return Multiply(ScaleFromF16(group.d[0]), group.scale[sub]);
}

Scale SubOffset(const QuantFormat& format, const QuantGroup& group, uint32_t sub) {
  if (!format.has_m) return {};
  if (format.min_bits == 0) return ScaleFromF16(group.m[sub]);
  return Multiply(ScaleFromF16(group.m[0]),
                  format.m_is_subtracted ? -group.min[sub] : group.min[sub]);
}

bool CanView(TensorType type) {
  return FindQuantFormat(type) != nullptr || type == TensorType::kF32 || type == TensorType::kF16 ||
         type == TensorType::kBF16;
}

void ViewQuantGroup(const QuantFormat& format, const QuantGroup& group, uint32_t weight_count,
                    BaseView& view) {
  view.unit_weights = format.sub_weights;
  const uint32_t units_per_sub = format.sub_weights / kViewUnit;
  for (uint32_t unit = 0; unit < weight_count / kViewUnit; ++unit) {
    view.slope[unit] = SubSlope(format, group, unit / units_per_sub);
    view.offset[unit] = SubOffset(format, group, unit / units_per_sub);
  }
  if (format.has_codebook) {
    for (uint32_t i = 0; i < weight_count; ++i) {
      view.level[i] = kIq4Codebook[static_cast<uint8_t>(group.quant[i])];
    }
  } else {
    for (uint32_t i = 0; i < weight_count; ++i) view.level[i] = group.quant[i];
  }
}

void ViewFloats(TensorType type, const std::byte* values, uint32_t weight_count, BaseView& view) {
  view.unit_weights = kViewUnit;
  for (uint32_t unit = 0; unit < weight_count / kViewUnit; ++unit) {
    std::array<Scale, kViewUnit> weights;
    int32_t leading = -1000;
    for (uint32_t i = 0; i < kViewUnit; ++i) {
      weights[i] = FloatScale(type, values, unit * kViewUnit + i);
      leading = std::max(leading, LeadingExponent(weights[i]));
    }
    const int32_t exponent = leading - kFloatLevelBits;
    view.slope[unit] = {leading == -1000 ? 0 : 1, exponent};
    view.offset[unit] = {};
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
