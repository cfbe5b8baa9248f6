// Super-blocks of 256 weights: an f16 scale (and minimum) for the block, small integer scales for
// sub-blocks of 16 or 32 weights.
//
//   Q2_K    [scales:16][qs:64][d f16][dmin f16]       sub 16, w = d * sc * q - dmin * m
//   Q3_K    [hmask:32][qs:64][scales:12][d f16]       sub 16, w = d * (sc - 32) * (q - 4)
//   Q4_K    [d f16][dmin f16][scales:12][qs:128]      sub 32, w = d * sc * q - dmin * m
//   Q5_K    [d f16][dmin f16][scales:12][qh:32][qs:128]
//   Q6_K    [ql:128][qh:64][scales:16 int8][d f16]    sub 16, w = d * sc * (q - 32)
//   IQ4_XS  [d f16][scales_h u16][scales_l:4][qs:128] sub 32, w = d * (sc - 32) * table[q]
#include "core/bytes.h"
#include "kernels/dequantize.h"
#include "kernels/ref/block_decoders.h"

namespace gguf_shard::ref {
namespace {

constexpr int kWeights256 = 256;

int Byte(const std::byte* bytes, int index) { return std::to_integer<int>(bytes[index]); }

struct ScaleMin {
  int scale;
  int min;
};

// Q4_K and Q5_K: eight 6-bit scales and eight 6-bit minima in 12 bytes. The first four of each lie
// in the low six bits of bytes 0-3 and 4-7; the others have their low nibbles in bytes 8-11 and
// their top two bits in the top of bytes 0-3 (scales) and 4-7 (minima).
ScaleMin SixBitScaleMin(const std::byte* scales, int sub) {
  if (sub < 4) return {Byte(scales, sub) & 63, Byte(scales, sub + 4) & 63};
  const int nibbles = Byte(scales, sub + 4);
  return {(nibbles & 15) | (Byte(scales, sub - 4) >> 6) << 4,
          (nibbles >> 4) | (Byte(scales, sub) >> 6) << 4};
}

// Q3_K: sixteen 6-bit scales in 12 bytes. Nibbles in bytes 0-7 (sub-blocks 0-7 low, 8-15 high), top
// two bits in bytes 8-11: bits 2k..2k+1 of byte 8 + sub % 4 for sub-blocks 4k..4k+3.
int SixBitScale(const std::byte* scales, int sub) {
  const int nibbles = Byte(scales, sub % 8);
  const int low = sub < 8 ? nibbles & 15 : nibbles >> 4;
  const int top = Byte(scales, 8 + sub % 4) >> (2 * (sub / 4)) & 3;
  return low | top << 4;
}

// Q2_K, Q3_K: two bits of weight i; each half of 128 weights uses 32 bytes, two bits to 32 weights.
int TwoBits(const std::byte* qs, int index) {
  return Byte(qs, index / 128 * 32 + index % 32) >> (2 * (index % 128 / 32)) & 3;
}

// Q4_K, Q5_K: 64 weights use 32 bytes, low nibbles first.
int NibbleOf64(const std::byte* qs, int index) {
  const int byte = Byte(qs, index / 64 * 32 + index % 32);
  return index % 64 < 32 ? byte & 15 : byte >> 4;
}

}  // namespace

void DecodeQ2K(const std::byte* block, float* values) {
  const float d = LoadF16(block + 80);
  const float dmin = LoadF16(block + 82);
  for (int i = 0; i < kWeights256; ++i) {
    const int packed = Byte(block, i / 16);
    const float scale = d * static_cast<float>(packed & 15);
    const float min = dmin * static_cast<float>(packed >> 4);
    values[i] = scale * static_cast<float>(TwoBits(block + 16, i)) - min;
  }
}

void DecodeQ3K(const std::byte* block, float* values) {
  const float d = LoadF16(block + 108);
  for (int i = 0; i < kWeights256; ++i) {
    const int high = Byte(block, i % 32) >> (i / 32) & 1;
    const int q = (TwoBits(block + 32, i) | high << 2) - 4;
    const float scale = d * static_cast<float>(SixBitScale(block + 96, i / 16) - 32);
    values[i] = scale * static_cast<float>(q);
  }
}

void DecodeQ4K(const std::byte* block, float* values) {
  const float d = LoadF16(block);
  const float dmin = LoadF16(block + 2);
  for (int i = 0; i < kWeights256; ++i) {
    const ScaleMin sub = SixBitScaleMin(block + 4, i / 32);
    const float scale = d * static_cast<float>(sub.scale);
    const float min = dmin * static_cast<float>(sub.min);
    values[i] = scale * static_cast<float>(NibbleOf64(block + 16, i)) - min;
  }
}

void DecodeQ5K(const std::byte* block, float* values) {
  const float d = LoadF16(block);
  const float dmin = LoadF16(block + 2);
  for (int i = 0; i < kWeights256; ++i) {
    const ScaleMin sub = SixBitScaleMin(block + 4, i / 32);
    const int high = Byte(block + 16, i % 32) >> (i / 32) & 1;
    const float scale = d * static_cast<float>(sub.scale);
    const float min = dmin * static_cast<float>(sub.min);
    values[i] = scale * static_cast<float>(NibbleOf64(block + 48, i) | high << 4) - min;
  }
}

void DecodeQ6K(const std::byte* block, float* values) {
  const std::byte* ql = block;
  const std::byte* qh = block + 128;
  const float d = LoadF16(block + 208);
  for (int i = 0; i < kWeights256; ++i) {
    const int half = i / 128;
    const int quarter = i % 128 / 32;
    const int byte = Byte(ql, half * 64 + quarter % 2 * 32 + i % 32);
    const int low = quarter < 2 ? byte & 15 : byte >> 4;
    const int high = Byte(qh, half * 32 + i % 32) >> (2 * quarter) & 3;
    const float scale = d * static_cast<float>(LoadLe<int8_t>(block + 192 + i / 16));
    values[i] = scale * static_cast<float>((low | high << 4) - 32);
  }
}

void DecodeIq4Xs(const std::byte* block, float* values) {
  const float d = LoadF16(block);
  const int scales_high = LoadLe<uint16_t>(block + 2);
  for (int i = 0; i < kWeights256; ++i) {
    const int sub = i / 32;
    const int low = Byte(block + 4, sub / 2) >> (4 * (sub % 2)) & 15;
    const int scale = (low | (scales_high >> (2 * sub) & 3) << 4) - 32;
    const int byte = Byte(block + 8, sub * 16 + i % 16);
    const int index = i % 32 < 16 ? byte & 15 : byte >> 4;
    values[i] = d * static_cast<float>(scale) * static_cast<float>(kIq4Values[index]);
  }
}

}  // namespace gguf_shard::ref
