// Random matrices of every type, as source blocks, as pages, and as f32; what the tests of the
// matrix kernels and the benchmark share. Thread-safety: value types without shared state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <vector>

#include "core/page.h"
#include "core/tile.h"
#include "kernels/dequantize.h"
#include "kernels/matmul.h"

namespace gguf_shard {

inline constexpr TensorType kMatMulTypes[] = {
    TensorType::kF32,  TensorType::kF16,    TensorType::kBF16,   TensorType::kQ8_0,
    TensorType::kQ4_0, TensorType::kQ4_1,   TensorType::kQ5_0,   TensorType::kQ5_1,
    TensorType::kQ2_K, TensorType::kQ3_K,   TensorType::kQ4_K,   TensorType::kQ5_K,
    TensorType::kQ6_K, TensorType::kIQ4_NL, TensorType::kIQ4_XS, TensorType::kMXFP4,
};

inline bool IsFloatType(TensorType type) { return GetTensorType(type).block_weights == 1; }

// Where the f16 factors of a block lie.
inline std::vector<uint32_t> F16FactorOffsets(TensorType type) {
  switch (type) {
    case TensorType::kQ4_1:
    case TensorType::kQ5_1:
    case TensorType::kQ4_K:
    case TensorType::kQ5_K:
      return {0, 2};
    case TensorType::kQ2_K:
      return {80, 82};
    case TensorType::kQ3_K:
      return {108};
    case TensorType::kQ6_K:
      return {208};
    case TensorType::kQ4_0:
    case TensorType::kQ5_0:
    case TensorType::kQ8_0:
    case TensorType::kIQ4_NL:
    case TensorType::kIQ4_XS:
      return {0};
    default:
      return {};
  }
}

// Blocks of random bits whose factors are random around `magnitude`, with both signs.
inline std::vector<std::byte> RandomBlocks(TensorType type, uint64_t block_count, uint32_t seed,
                                           float magnitude = 0.01f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, magnitude);
  const TensorTypeInfo& info = GetTensorType(type);
  std::vector<std::byte> blocks(block_count * info.block_bytes);
  for (std::byte& byte : blocks) byte = static_cast<std::byte>(random() & 255u);
  for (uint64_t i = 0; i < block_count; ++i) {
    std::byte* block = blocks.data() + i * info.block_bytes;
    for (const uint32_t offset : F16FactorOffsets(type)) {
      const uint16_t factor = F32ToF16(normal(random));
      std::memcpy(block + offset, &factor, sizeof factor);
    }
    if (type == TensorType::kMXFP4) block[0] = static_cast<std::byte>(118 + random() % 6);
    const float value = normal(random);
    const uint16_t half = F32ToF16(value);
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    const auto bfloat = static_cast<uint16_t>(bits >> 16);
    if (type == TensorType::kF32) std::memcpy(block, &value, sizeof value);
    if (type == TensorType::kF16) std::memcpy(block, &half, sizeof half);
    if (type == TensorType::kBF16) std::memcpy(block, &bfloat, sizeof bfloat);
  }
  return blocks;
}

// Packs a matrix; the tags of the pages are filled with 0xff, which no kernel may take for weights.
inline std::vector<std::byte> PackMatrix(const TensorLayout& layout,
                                         std::span<const std::byte> source) {
  std::vector<std::byte> pages(layout.page_count * kPageBytes, std::byte{0});
  for (uint64_t i = 0; i < PackUnitCount(layout); ++i) {
    const PackUnit unit = GetPackUnit(layout, i);
    PackPages(layout, unit, source.subspan(unit.source_offset, unit.source_bytes),
              std::span(pages).subspan(unit.first_page * kPageBytes, unit.page_count * kPageBytes));
  }
  for (uint64_t page = 0; page < layout.page_count; ++page) {
    std::memset(pages.data() + page * kPageBytes + kPageContentBytes, 0xff,
                kPageBytes - kPageContentBytes);
  }
  return pages;
}

struct TestMatrix {
  TensorLayout layout;
  std::vector<std::byte> source;
  std::vector<std::byte> pages;
  std::vector<float> weights;  // rows * columns

  StripRun Run() const { return Run(0, layout.strip_count()); }
  StripRun Run(uint64_t first_strip, uint64_t strip_count) const {
    return RunAt(pages.data() + first_strip * layout.pages_per_strip() * kPageBytes, first_strip,
                 strip_count);
  }
  StripRun RunAt(const std::byte* run_pages, uint64_t first_strip, uint64_t strip_count) const {
    return {.type = layout.type,
            .geometry = layout.geometry(),
            .rows = layout.rows,
            .pages_per_strip = layout.pages_per_strip(),
            .first_strip = first_strip,
            .strip_count = strip_count,
            .pages = run_pages};
  }
};

// Tile 0 x 0: the type's default.
inline TestMatrix MakeMatrix(TensorType type, uint64_t rows, uint64_t columns,
                             std::vector<std::byte> source, uint32_t tile_rows = 0,
                             uint32_t tile_columns = 0) {
  const TensorTypeInfo& info = GetTensorType(type);
  const uint64_t shape[] = {columns, rows};
  TestMatrix matrix;
  matrix.layout = MakeTensorLayout(type, shape, 1, MemoryLayout::kColumnMajor,
                                   tile_rows == 0 ? info.tile_rows : tile_rows,
                                   tile_columns == 0 ? info.tile_columns : tile_columns)
                      .value();
  matrix.source = std::move(source);
  matrix.pages = PackMatrix(matrix.layout, matrix.source);
  matrix.weights.resize(rows * columns);
  Dequantize(type, matrix.source, matrix.weights);
  return matrix;
}

inline TestMatrix RandomMatrix(TensorType type, uint64_t rows, uint64_t columns, uint32_t seed,
                               uint32_t tile_rows = 0, uint32_t tile_columns = 0) {
  const uint64_t blocks = rows * columns / GetTensorType(type).block_weights;
  return MakeMatrix(type, rows, columns, RandomBlocks(type, blocks, seed), tile_rows, tile_columns);
}

// Activations as a transformer has them: normal, with a few large outliers.
inline std::vector<float> RandomActivations(uint32_t tokens, uint32_t columns, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(size_t{tokens} * columns);
  for (float& value : values) value = normal(random) * (random() % 64 == 0 ? 8.0f : 1.0f);
  return values;
}

inline ActivationBatch MakeBatch(uint32_t tokens, uint32_t columns, std::span<const float> values) {
  ActivationBatch batch;
  batch.Reserve(tokens, columns);
  batch.Resize(tokens, columns);
  for (uint32_t t = 0; t < tokens; ++t) batch.Quantize(t, values.data() + size_t{t} * columns);
  return batch;
}

}  // namespace gguf_shard
