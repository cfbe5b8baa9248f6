#include "bench/model/weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/bytes.h"

namespace gguf_shard {
namespace {

// Fills blocks with weights of standard deviation `sigma`.
void FillQ4K(RandomBytes& random, double sigma, std::span<std::byte> blocks) {
  // w = d * 32 * q - dmin * 32 with q uniform in 0..15 (deviation 4.61, mean 7.5).
  const uint16_t d = PositiveF16(sigma / (32 * 4.61));
  const uint16_t dmin = PositiveF16(7.5 * sigma / (32 * 4.61));
  for (size_t i = 0; i < blocks.size(); i += 144) {
    std::byte* block = blocks.data() + i;
    StoreLe(block, d);
    StoreLe(block + 2, dmin);
    // Eight 6-bit scales and minima, all 32: low bits in bytes 0..7, the rest in 8..11.
    std::memset(block + 4, 0x20 | 0x80, 8);
    std::memset(block + 12, 0, 4);
    random.Fill(block + 16, 128);
  }
}

void FillQ6K(RandomBytes& random, double sigma, std::span<std::byte> blocks) {
  // w = d * 32 * (q - 32) with q uniform in 0..63 (deviation 18.5).
  const uint16_t d = PositiveF16(sigma / (32 * 18.5));
  for (size_t i = 0; i < blocks.size(); i += 210) {
    std::byte* block = blocks.data() + i;
    random.Fill(block, 192);
    std::memset(block + 192, 32, 16);
    StoreLe(block + 208, d);
  }
}

void FillQ80(RandomBytes& random, double sigma, std::span<std::byte> blocks) {
  const uint16_t d = PositiveF16(sigma / 73.9);  // q uniform in -128..127
  for (size_t i = 0; i < blocks.size(); i += 34) {
    StoreLe(blocks.data() + i, d);
    random.Fill(blocks.data() + i + 2, 32);
  }
}

void FillQ40(RandomBytes& random, double sigma, std::span<std::byte> blocks) {
  const uint16_t d = PositiveF16(sigma / 4.61);  // w = d * (q - 8), q uniform in 0..15
  for (size_t i = 0; i < blocks.size(); i += 18) {
    StoreLe(blocks.data() + i, d);
    random.Fill(blocks.data() + i + 2, 16);
  }
}

void FillF16(RandomBytes& random, double sigma, std::span<std::byte> blocks) {
  // A random sign and mantissa under one exponent: magnitudes within a factor of two.
  const uint16_t base = static_cast<uint16_t>(PositiveF16(sigma) & 0x7C00);
  for (size_t i = 0; i + 1 < blocks.size(); i += 2) {
    StoreLe(blocks.data() + i, static_cast<uint16_t>(base | (random.Next() & 0x83FF)));
  }
}

void FillOnes(std::span<std::byte> values) {
  for (size_t i = 0; i < values.size(); i += 4) StoreLe(values.data() + i, 1.0f);
}

}  // namespace

uint16_t PositiveF16(double value) {
  int exponent = 0;
  const double fraction = std::frexp(value, &exponent);  // [0.5, 1)
  const int biased = std::clamp(exponent + 14, 1, 30);
  return static_cast<uint16_t>(biased << 10 | static_cast<int>((fraction * 2 - 1) * 1024));
}

void FillWeights(const PlannedTensor& tensor, RandomBytes& random, std::span<std::byte> bytes) {
  const double sigma = 0.6 / std::sqrt(static_cast<double>(tensor.shape[0]));
  switch (tensor.type) {
    case TensorType::kQ4_K:
      return FillQ4K(random, sigma, bytes);
    case TensorType::kQ6_K:
      return FillQ6K(random, sigma, bytes);
    case TensorType::kQ8_0:
      return FillQ80(random, sigma, bytes);
    case TensorType::kQ4_0:
      return FillQ40(random, sigma, bytes);
    case TensorType::kF16:
      return FillF16(random, sigma, bytes);
    default:
      return FillOnes(bytes);
  }
}

}  // namespace gguf_shard
