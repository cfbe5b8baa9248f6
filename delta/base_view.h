// The base weights of a group, in the one form in which targets are predicted from them:
//
//   weight i = slope[i / unit] * level[i] + offset[i / unit]
//
// with units of 16 weights, or of 32 where neither side has scales of fewer: there are half as many
// then. Quantized bases give their own scales; float bases get a power of two per 16 weights, such
// that levels have 11 bits. Thread-safety: pure functions.
#pragma once

#include <array>
#include <cstdint>

#include "delta/quant_group.h"
#include "delta/scale_row.h"

namespace gguf_shard {

inline constexpr uint32_t kViewUnit = 16;  // weights that certainly share slope and offset

// The unit of two sides is kViewUnit << shift.
uint32_t UnitShift(TensorType target_type, TensorType base_type);

struct BaseView {
  uint32_t unit_shift = 0;
  ScaleRow slope;
  ScaleRow offset;
  alignas(64) std::array<int16_t, kGroupWeights> level;
};

// Slope and offset of every unit of a group.
void UnitSlopes(const QuantFormat& format, const QuantGroup& group, uint32_t unit_shift,
                ScaleRow& slopes);
void UnitOffsets(const QuantFormat& format, const QuantGroup& group, uint32_t unit_shift,
                 ScaleRow& offsets);

// Whether weights of this type can predict a quantized target.
bool CanView(TensorType type);

// In units of view.unit_shift.
void ViewQuantGroup(const QuantFormat& format, const QuantGroup& group, uint32_t weight_count,
                    BaseView& view);
// F32, F16 or BF16 values.
// A float as mantissa (24 bits at most) and exponent; infinities and NaNs are read as numbers.
Scale FloatScale(TensorType type, const std::byte* values, uint64_t index);
void ViewFloats(TensorType type, const std::byte* values, uint32_t weight_count, BaseView& view);

// Whole blocks of any type that can be viewed; `group` gets the fields of a quantized one.
void ViewBlocks(TensorType type, const std::byte* blocks, uint32_t weight_count, QuantGroup& group,
                BaseView& view);

}  // namespace gguf_shard
