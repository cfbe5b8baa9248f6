// Exact dequantization of blocks to f32, per type, from the definition of the format: the scalar
// oracle of every kernel, and the reader of embedding rows and 1-D tensors. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/tensor_type.h"

namespace gguf_shard {

bool CanDequantize(TensorType type);

// blocks.size() is a multiple of the block size; values.size() = number of blocks * block_weights.
// GS_CHECKs CanDequantize and the sizes.
void Dequantize(TensorType type, std::span<const std::byte> blocks, std::span<float> values);

float F16ToF32(uint16_t bits);
uint16_t F32ToF16(float value);  // round to nearest even
float Bf16ToF32(uint16_t bits);

}  // namespace gguf_shard
