// Private to kernels/ref: one function per block type, the definition of the format in code. Each
// reads one block and writes its weights as f32, rounding once per product and once per sum.
// Thread-safe: pure functions.
#pragma once

#include <cstddef>

#include "core/bytes.h"
#include "kernels/dequantize.h"

namespace gguf_shard::ref {

inline float LoadF16(const std::byte* source) { return F16ToF32(LoadLe<uint16_t>(source)); }

using BlockDecoder = void (*)(const std::byte* block, float* values);

void DecodeF32(const std::byte* block, float* values);
void DecodeF16(const std::byte* block, float* values);
void DecodeBf16(const std::byte* block, float* values);

// 32 weights to a block.
void DecodeQ4_0(const std::byte* block, float* values);
void DecodeQ4_1(const std::byte* block, float* values);
void DecodeQ5_0(const std::byte* block, float* values);
void DecodeQ5_1(const std::byte* block, float* values);
void DecodeQ8_0(const std::byte* block, float* values);
void DecodeIq4Nl(const std::byte* block, float* values);
void DecodeMxfp4(const std::byte* block, float* values);

// 256 weights to a block.
void DecodeQ2K(const std::byte* block, float* values);
void DecodeQ3K(const std::byte* block, float* values);
void DecodeQ4K(const std::byte* block, float* values);
void DecodeQ5K(const std::byte* block, float* values);
void DecodeQ6K(const std::byte* block, float* values);
void DecodeIq4Xs(const std::byte* block, float* values);

// The 16 values of a 4-bit index in IQ4_NL and IQ4_XS.
extern const int kIq4Values[16];

}  // namespace gguf_shard::ref
