// The codec for F32, F16 and BF16 targets, given the base as floats of the same type.
// docs/FORMAT-DELTA.md, "Codec 2". Thread-safety: pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/error.h"
#include "core/tensor_type.h"

namespace gguf_shard {

// Whether a float target can be predicted by this base; of another type, it is converted first
// (delta/float_base.h).
bool CanFloatCode(TensorType target_type, TensorType base_type);

// Both sides have the same size, whole values.
std::vector<std::byte> FloatEncode(TensorType type, std::span<const std::byte> target,
                                   std::span<const std::byte> base, uint32_t max_tables);
Result<void> FloatDecode(TensorType type, std::span<const std::byte> payload,
                         std::span<const std::byte> base, std::span<std::byte> target);

}  // namespace gguf_shard
