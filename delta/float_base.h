// A base of any type as the floats that it stands for, so that a float target of another type is
// predicted: a model converted from F32 to BF16, a quantized one that was dequantized. In integers,
// so that every machine converts alike. Thread-safety: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/tensor_type.h"

namespace gguf_shard {

// The nearest float to value * 2^exponent, ties to even; infinity when it is too large. |value| is
// below 2^62. `fraction_bits` and `exponent_bits` describe the float.
uint32_t NearestFloat(int64_t value, int32_t exponent, uint32_t fraction_bits,
                      uint32_t exponent_bits);

// The weights of `base` as F32, F16 or BF16. CanView(base_type); the base holds whole blocks.
std::vector<std::byte> FloatsOf(TensorType target_type, TensorType base_type,
                                std::span<const std::byte> base);

}  // namespace gguf_shard
