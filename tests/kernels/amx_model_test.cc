#include "kernels/ref/amx_model.h"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <random>
#include <vector>

#include "kernels/matmul.h"

#if defined(__x86_64__)
#include "kernels/cpu/amx_tiles.h"
#endif

namespace gguf_shard::amx {
namespace {

struct Shape {
  uint32_t tokens;  // rows of the sum and of the left factor
  uint32_t words;   // columns of the left factor, rows of the right one
  uint32_t lanes;   // columns of the sum and of the right factor
};
constexpr Shape kShapes[] = {{16, 8, 16}, {16, 4, 16}, {16, 16, 16}, {1, 1, 1}, {3, 5, 7}};

using Config = std::array<uint8_t, 64>;

// Tile 0 is the sum, 4 the left factor, 6 the right one.
Config ConfigOf(const Shape& shape) {
  Config config{};
  config[0] = 1;
  const auto set = [&](uint32_t tile, uint32_t rows, uint32_t words) {
    config[16 + 2 * tile] = static_cast<uint8_t>(4 * words);
    config[48 + tile] = static_cast<uint8_t>(rows);
  };
  set(0, shape.tokens, shape.lanes);
  set(4, shape.tokens, shape.words);
  set(6, shape.words, shape.lanes);
  return config;
}

// 16 rows of 64 bytes, each row `kStride` from the one before.
constexpr size_t kStride = 80;
using Matrix = std::vector<uint8_t>;

Matrix RandomTile(uint32_t seed) {
  std::mt19937 random(seed);
  Matrix tile(16 * kStride);
  for (uint8_t& byte : tile) byte = static_cast<uint8_t>(random());
  return tile;
}

Matrix ProductOfModel(const Shape& shape, const Matrix& left, const Matrix& right, Matrix sum) {
  const auto tiles = std::make_unique<TileModel>();
  const Config config = ConfigOf(shape);
  tiles->LoadConfig(config.data());
  tiles->Load(0, sum.data(), kStride);
  tiles->Load(4, left.data(), kStride);
  tiles->Load(6, right.data(), kStride);
  tiles->MultiplyAdd(0, 4, 6);
  tiles->Store(0, sum.data(), kStride);
  return sum;
}

uint32_t WordAt(const Matrix& tile, uint32_t row, uint32_t column) {
  uint32_t word;
  std::memcpy(&word, tile.data() + row * kStride + 4 * column, sizeof word);
  return word;
}

TEST(TileModelTest, AddsProductsOfSignedAndUnsignedBytesAndStoresTheShapeAlone) {
  for (const Shape& shape : kShapes) {
    const Matrix left = RandomTile(1), right = RandomTile(2), before = RandomTile(3);
    const Matrix after = ProductOfModel(shape, left, right, before);
    for (uint32_t row = 0; row < 16; ++row) {
      for (uint32_t column = 0; column < 16; ++column) {
        int64_t sum = WordAt(before, row, column);
        const bool inside = row < shape.tokens && column < shape.lanes;
        for (uint32_t k = 0; inside && k < 4 * shape.words; ++k) {
          const auto a = static_cast<int8_t>(left[row * kStride + k]);
          sum += int64_t{a} * right[k / 4 * kStride + 4 * column + k % 4];
        }
        ASSERT_EQ(WordAt(after, row, column), static_cast<uint32_t>(sum)) << row << ' ' << column;
      }
    }
  }
}

TEST(TileModelTest, ZeroAndANewConfigurationClearTiles) {
  const auto tiles = std::make_unique<TileModel>();
  const Config config = ConfigOf(kShapes[0]);
  const Matrix ones(16 * kStride, 1);
  Matrix out = ones;
  tiles->LoadConfig(config.data());
  tiles->Load(4, ones.data(), kStride);
  tiles->Zero(4);
  tiles->Store(4, out.data(), kStride);
  EXPECT_EQ(WordAt(out, 0, 0), 0u);
  tiles->Load(4, ones.data(), kStride);
  tiles->LoadConfig(config.data());
  out = ones;
  tiles->Store(4, out.data(), kStride);
  EXPECT_EQ(WordAt(out, 15, 7), 0u);
  EXPECT_EQ(WordAt(out, 15, 8), 0x01010101u);  // behind the shape
}

// What raises an exception in the processor.
TEST(TileModelDeathTest, RefusesWhatTheProcessorRefuses) {
  const Matrix tile = RandomTile(4);
  const auto load = [](uint32_t at, uint8_t value) {
    Config config = ConfigOf({3, 5, 7});
    config[at] = value;
    TileModel().LoadConfig(config.data());
  };
  EXPECT_DEATH(load(0, 2), "config");
  for (const uint32_t reserved : {1, 2, 15, 32, 47, 56, 63}) EXPECT_DEATH(load(reserved, 1), "");
  EXPECT_DEATH(load(16, 65), "kMaxRowBytes");
  EXPECT_DEATH(load(48, 17), "kMaxRows");
  EXPECT_DEATH(load(48, 0), "row_bytes == 0");
  EXPECT_DEATH(TileModel().Load(0, tile.data(), kStride), "configured_");
  const auto multiply = [](uint32_t at, uint8_t value, uint32_t right) {
    Config config = ConfigOf({3, 5, 7});
    config[at] = value;
    TileModel tiles;
    tiles.LoadConfig(config.data());
    tiles.MultiplyAdd(0, 4, right);
  };
  multiply(0, 1, 6);                             // as it should be
  EXPECT_DEATH(multiply(0, 1, 4), "a != b");     // one tile twice
  EXPECT_DEATH(multiply(0, 1, 5), "rows != 0");  // without a shape
  EXPECT_DEATH(multiply(16, 24, 6), "sum.row_bytes");
  EXPECT_DEATH(multiply(24, 16, 6), "right.rows");
  EXPECT_DEATH(multiply(24, 18, 6), "% 4");
  EXPECT_DEATH(multiply(48, 4, 6), "sum.rows");
}

#if defined(__x86_64__)
__attribute__((target("amx-tile,amx-int8"))) Matrix ProductOfProcessor(const Shape& shape,
                                                                       const Matrix& left,
                                                                       const Matrix& right,
                                                                       Matrix sum) {
  alignas(64) Config config = ConfigOf(shape);
  GS_TILE_LOADCONFIG(config.data());
  GS_TILE_LOADD(0, sum.data(), kStride);
  GS_TILE_LOADD(4, left.data(), kStride);
  GS_TILE_LOADD(6, right.data(), kStride);
  GS_TILE_DPBSUD(0, 4, 6);
  GS_TILE_STORED(0, sum.data(), kStride);
  GS_TILE_RELEASE();
  return sum;
}

TEST(TileModelTest, AgreesWithTheProcessor) {
  if (!KernelIsaIsSupported(KernelIsa::kAmx)) GTEST_SKIP() << "this processor lacks amx";
  for (const Shape& shape : kShapes) {
    const Matrix left = RandomTile(5), right = RandomTile(6), before = RandomTile(7);
    EXPECT_EQ(ProductOfModel(shape, left, right, before),
              ProductOfProcessor(shape, left, right, before));
  }
}
#endif

}  // namespace
}  // namespace gguf_shard::amx
