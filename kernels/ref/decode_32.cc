// Blocks of one weight, and of 32 weights with one scale:
//
//   Q4_0    [d f16][qs:16]               w = d * (q - 8)
//   Q4_1    [d f16][m f16][qs:16]        w = d * q + m
//   Q5_0    [d f16][qh:4][qs:16]         w = d * (q - 16)
//   Q5_1    [d f16][m f16][qh:4][qs:16]  w = d * q + m
//   Q8_0    [d f16][qs:32 int8]          w = d * q
//   IQ4_NL  [d f16][qs:16]               w = d * table[q]
//   MXFP4   [e u8][qs:16]                w = 2^(e - 127) * e2m1(q)
//
// Byte j of a 16-byte `qs` holds weight j in its low nibble and weight j + 16 in its high nibble;
// bit j of `qh` is the fifth bit of weight j.
#include <cmath>

#include "core/bytes.h"
#include "kernels/dequantize.h"
#include "kernels/ref/block_decoders.h"

namespace gguf_shard::ref {
namespace {

constexpr int kWeights32 = 32;

// E2M1: sign, two exponent bits, one mantissa bit.
constexpr float kE2m1Values[16] = {0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,  4.0f,  6.0f,
                                   -0.0f, -0.5f, -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f};

int Nibble(const std::byte* qs, int index) {
  const int byte = std::to_integer<int>(qs[index % 16]);
  return index < 16 ? byte & 15 : byte >> 4;
}

int FifthBit(const std::byte* qh, int index) {
  return static_cast<int>(LoadLe<uint32_t>(qh) >> index & 1u) << 4;
}

}  // namespace

const int kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                            1,    13,   25,  38,  53,  69,  89,  113};

void DecodeF32(const std::byte* block, float* values) { *values = LoadLe<float>(block); }

void DecodeF16(const std::byte* block, float* values) { *values = LoadF16(block); }

void DecodeBf16(const std::byte* block, float* values) {
  *values = Bf16ToF32(LoadLe<uint16_t>(block));
}

void DecodeQ4_0(const std::byte* block, float* values) {
  const float d = LoadF16(block);
  for (int i = 0; i < kWeights32; ++i) values[i] = d * static_cast<float>(Nibble(block + 2, i) - 8);
}

void DecodeQ4_1(const std::byte* block, float* values) {
  const float d = LoadF16(block);
  const float m = LoadF16(block + 2);
  for (int i = 0; i < kWeights32; ++i) values[i] = d * static_cast<float>(Nibble(block + 4, i)) + m;
}

void DecodeQ5_0(const std::byte* block, float* values) {
  const float d = LoadF16(block);
  for (int i = 0; i < kWeights32; ++i) {
    const int q = Nibble(block + 6, i) | FifthBit(block + 2, i);
    values[i] = d * static_cast<float>(q - 16);
  }
}

void DecodeQ5_1(const std::byte* block, float* values) {
  const float d = LoadF16(block);
  const float m = LoadF16(block + 2);
  for (int i = 0; i < kWeights32; ++i) {
    const int q = Nibble(block + 8, i) | FifthBit(block + 4, i);
    values[i] = d * static_cast<float>(q) + m;
  }
}

void DecodeQ8_0(const std::byte* block, float* values) {
  const float d = LoadF16(block);
  for (int i = 0; i < kWeights32; ++i) {
    values[i] = d * static_cast<float>(LoadLe<int8_t>(block + 2 + i));
  }
}

void DecodeIq4Nl(const std::byte* block, float* values) {
  const float d = LoadF16(block);
  for (int i = 0; i < kWeights32; ++i) {
    values[i] = d * static_cast<float>(kIq4Values[Nibble(block + 2, i)]);
  }
}

void DecodeMxfp4(const std::byte* block, float* values) {
  // In double, because 2^-127 * 0.5 and 2^128 * 0.5 leave the range of a normal f32.
  const double scale = std::ldexp(1.0, std::to_integer<int>(block[0]) - 127);
  for (int i = 0; i < kWeights32; ++i) {
    values[i] = static_cast<float>(scale * double{kE2m1Values[Nibble(block + 1, i)]});
  }
}

}  // namespace gguf_shard::ref
