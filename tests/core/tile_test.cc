// Layouts and packing: exact round trips over random shapes, all types, odd rows and columns;
// golden places of words; hostile geometry.
#include "core/tile.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

#include "core/bytes.h"

namespace gguf_shard {
namespace {

std::vector<std::byte> RandomBytes(size_t count, std::mt19937& random) {
  std::vector<std::byte> bytes(count);
  for (auto& byte : bytes) byte = static_cast<std::byte>(random() & 0xff);
  return bytes;
}

std::vector<std::byte> Pack(const TensorLayout& layout, std::span<const std::byte> source) {
  std::vector<std::byte> pages(layout.page_count * kPageBytes, std::byte{0xEE});
  for (uint64_t i = 0; i < PackUnitCount(layout); ++i) {
    const PackUnit unit = GetPackUnit(layout, i);
    PackPages(layout, unit, source.subspan(unit.source_offset, unit.source_bytes),
              std::span(pages).subspan(unit.first_page * kPageBytes, unit.page_count * kPageBytes));
  }
  return pages;
}

std::vector<std::byte> Unpack(const TensorLayout& layout, std::span<const std::byte> pages) {
  std::vector<std::byte> source(layout.slice_bytes * layout.slice_count, std::byte{0xDD});
  for (uint64_t i = 0; i < PackUnitCount(layout); ++i) {
    const PackUnit unit = GetPackUnit(layout, i);
    UnpackPages(layout, unit,
                pages.subspan(unit.first_page * kPageBytes, unit.page_count * kPageBytes),
                std::span(source).subspan(unit.source_offset, unit.source_bytes));
  }
  return source;
}

// Units cover the source and the pages in order, without hole or overlap.
void ExpectUnitsCover(const TensorLayout& layout) {
  uint64_t next_byte = 0;
  uint64_t next_page = 0;
  for (uint64_t i = 0; i < PackUnitCount(layout); ++i) {
    const PackUnit unit = GetPackUnit(layout, i);
    ASSERT_EQ(unit.source_offset, next_byte);
    ASSERT_EQ(unit.first_page, next_page);
    ASSERT_EQ(PackUnitOfPage(layout, unit.first_page), i);
    ASSERT_EQ(PackUnitOfPage(layout, unit.first_page + unit.page_count - 1), i);
    ASSERT_EQ(PackUnitOfSourceByte(layout, unit.source_offset), i);
    ASSERT_EQ(PackUnitOfSourceByte(layout, unit.source_offset + unit.source_bytes - 1), i);
    next_byte += unit.source_bytes;
    next_page += unit.page_count;
  }
  ASSERT_EQ(next_byte, layout.slice_bytes * layout.slice_count);
  ASSERT_EQ(next_page, layout.page_count);
}

void ExpectRowsAreFound(const TensorLayout& layout, std::span<const std::byte> source,
                        std::span<const std::byte> pages) {
  std::vector<std::byte> row_bytes(layout.row_bytes);
  for (uint64_t slice = 0; slice < layout.slice_count; ++slice) {
    for (uint64_t row = 0; row < layout.rows; row += 1 + layout.rows / 7) {
      const RowPages place = GetRowPages(layout, slice, row);
      CopyRow(layout, slice, row,
              pages.subspan(place.first_page * kPageBytes, place.page_count * kPageBytes),
              row_bytes);
      const auto expected =
          source.subspan(slice * layout.slice_bytes + row * layout.row_bytes, layout.row_bytes);
      ASSERT_TRUE(std::equal(row_bytes.begin(), row_bytes.end(), expected.begin()));
    }
  }
}

void ExpectRoundTrip(const TensorLayout& layout, std::mt19937& random) {
  const auto source = RandomBytes(layout.slice_bytes * layout.slice_count, random);
  ExpectUnitsCover(layout);
  const auto pages = Pack(layout, source);
  ASSERT_EQ(Unpack(layout, pages), source);
  ExpectRowsAreFound(layout, source, pages);
}

class EveryType : public testing::TestWithParam<TensorTypeInfo> {};

TEST_P(EveryType, RowMajorRoundTripsOverRandomShapes) {
  std::mt19937 random(1);
  for (int i = 0; i < 20; ++i) {
    const uint64_t columns = GetParam().block_weights * (1 + random() % 9);
    const uint64_t slices = 1 + random() % 3;
    const uint64_t shape[] = {columns, 1 + random() % 90, slices};
    const auto layout =
        MakeTensorLayout(GetParam().type, shape, slices, MemoryLayout::kRowMajor, 0, 0);
    ASSERT_TRUE(layout.has_value());
    ExpectRoundTrip(*layout, random);
  }
}

class EveryTiledType : public testing::TestWithParam<TensorTypeInfo> {};

TEST_P(EveryTiledType, ColumnMajorRoundTripsOverRandomShapesAndTiles) {
  std::mt19937 random(2);
  for (int i = 0; i < 30; ++i) {
    const uint64_t columns = GetParam().block_weights * (1 + random() % 40);
    const uint64_t rows = 1 + random() % 130;
    const uint64_t slices = 1 + random() % 3;
    const uint64_t shape[] = {columns, rows, slices};
    const TileShape tile = i % 2 == 0 ? TileShape{GetParam().tile_rows, GetParam().tile_columns}
                                      : ChooseTileShape(GetParam().type, columns, rows);
    const auto layout = MakeTensorLayout(GetParam().type, shape, slices, MemoryLayout::kColumnMajor,
                                         tile.rows, tile.columns);
    ASSERT_TRUE(layout.has_value()) << layout.error().ToString();
    ExpectRoundTrip(*layout, random);
  }
}

TEST_P(EveryTiledType, DefaultTileUsesItsPageAsTheDesignSays) {
  const auto& type = GetParam();
  const uint32_t row_bytes = type.tile_columns / type.block_weights * type.block_bytes;
  const uint32_t used_bytes = type.tile_rows * row_bytes;
  EXPECT_LE(used_bytes, kPageContentBytes);
  EXPECT_GT(used_bytes + std::min(row_bytes, 104u), 3989u);  // one more row would not fit, nearly
  const auto geometry = MakeTileGeometry(type.type, type.tile_rows, type.tile_columns);
  EXPECT_EQ(geometry.short_plane_offset(geometry.blocks_per_row), used_bytes);
}

std::string ParameterName(const testing::TestParamInfo<TensorTypeInfo>& parameter) {
  return std::string(parameter.param.name);
}

std::vector<TensorTypeInfo> TiledTypes() {
  std::vector<TensorTypeInfo> types(AllTensorTypes().begin(), AllTensorTypes().end());
  std::erase_if(types, [](const auto& type) { return !type.has_tile_layout(); });
  return types;
}

INSTANTIATE_TEST_SUITE_P(AllTypes, EveryType,
                         testing::ValuesIn(AllTensorTypes().begin(), AllTensorTypes().end()),
                         ParameterName);
INSTANTIATE_TEST_SUITE_P(AllTypes, EveryTiledType, testing::ValuesIn(TiledTypes()), ParameterName);

TEST(TileGolden, Q6KWordsLieInPlanesAndTheScaleBehindThem) {
  const uint64_t shape[] = {512, 20};
  const auto layout =
      MakeTensorLayout(TensorType::kQ6_K, shape, 1, MemoryLayout::kColumnMajor, 19, 256);
  ASSERT_TRUE(layout.has_value());
  EXPECT_EQ(layout->page_count, 4u);  // two strips of two tiles
  std::mt19937 random(3);
  const auto source = RandomBytes(layout->slice_bytes, random);
  const auto pages = Pack(*layout, source);
  // Row 5, block 1 (tile 1): word 7 of the block is bytes 28..31 of it.
  const std::byte* block = source.data() + 5 * 420 + 210;
  const std::byte* page = pages.data() + 1 * kPageBytes;
  EXPECT_EQ(std::memcmp(page + 7 * 19 * 4 + 5 * 4, block + 28, 4), 0);
  EXPECT_EQ(std::memcmp(page + 52 * 19 * 4 + 5 * 2, block + 208, 2), 0);
  // Row 19 is row 0 of the second strip; the other 18 rows are zero.
  const std::byte* last = pages.data() + 2 * kPageBytes;
  EXPECT_EQ(std::memcmp(last, source.data() + 19 * 420, 4), 0);
  for (int row = 1; row < 19; ++row) EXPECT_EQ(LoadLe<uint32_t>(last + row * 4), 0u);
}

TEST(TileGolden, LeadingScaleOfQ4_0LiesBehindTheWords) {
  const uint64_t shape[] = {256, 28};
  const auto layout =
      MakeTensorLayout(TensorType::kQ4_0, shape, 1, MemoryLayout::kColumnMajor, 28, 256);
  ASSERT_TRUE(layout.has_value());
  std::mt19937 random(4);
  const auto source = RandomBytes(layout->slice_bytes, random);
  const auto page = Pack(*layout, source);
  const std::byte* block = source.data() + 9 * 144 + 3 * 18;  // row 9, block 3
  EXPECT_EQ(std::memcmp(page.data() + (3 * 4 + 2) * 28 * 4 + 9 * 4, block + 2 + 2 * 4, 4), 0);
  EXPECT_EQ(std::memcmp(page.data() + 8 * 4 * 28 * 4 + 3 * 28 * 2 + 9 * 2, block, 2), 0);
}

TEST(ChooseTileShape, KeepsTheDefaultWhereItFitsAndAvoidsPadding) {
  EXPECT_EQ(ChooseTileShape(TensorType::kQ4_K, 4096, 14336).rows, 28u);
  const TileShape narrow = ChooseTileShape(TensorType::kQ4_0, 896, 4864);
  const uint64_t default_pages = DivCeil(896, 256) * DivCeil(4864, 28);
  EXPECT_LT(DivCeil(896, narrow.columns) * DivCeil(4864, narrow.rows), default_pages);
}

TEST(TensorLayout, HostileGeometryIsRefused) {
  const auto make = [](std::vector<uint64_t> shape, uint64_t slices, uint32_t rows,
                       uint32_t columns) {
    return MakeTensorLayout(TensorType::kQ4_K, shape, slices, MemoryLayout::kColumnMajor, rows,
                            columns);
  };
  EXPECT_TRUE(make({512, 10}, 1, 28, 256).has_value());
  EXPECT_FALSE(make({512, 10}, 1, 0, 256).has_value());
  EXPECT_FALSE(make({512, 10}, 1, 29, 256).has_value());  // 4176 bytes
  EXPECT_FALSE(make({512, 10}, 1, 65, 256).has_value());
  EXPECT_FALSE(make({512, 10}, 1, 28, 0).has_value());
  EXPECT_FALSE(make({512, 10}, 1, 28, 128).has_value());  // half a block
  EXPECT_FALSE(make({512, 10}, 3, 28, 256).has_value());  // slices do not divide
  EXPECT_FALSE(make({512, 10}, 0, 28, 256).has_value());
  EXPECT_FALSE(make({500, 10}, 1, 28, 256).has_value());  // rows of part blocks
  EXPECT_FALSE(make({512, UINT64_MAX, 2}, 1, 28, 256).has_value());
  EXPECT_FALSE(make({uint64_t{1} << 40, uint64_t{1} << 40}, 1, 28, 256).has_value());
  EXPECT_FALSE(MakeTensorLayout(TensorType::kIQ2_S, std::vector<uint64_t>{512, 10}, 1,
                                MemoryLayout::kColumnMajor, 1, 256)
                   .has_value());
}

TEST(TensorLayout, EmptyAndZeroDimensionalTensors) {
  const auto empty = MakeTensorLayout(TensorType::kF32, std::vector<uint64_t>{0, 5}, 1,
                                      MemoryLayout::kRowMajor, 0, 0);
  ASSERT_TRUE(empty.has_value());
  EXPECT_EQ(empty->page_count, 0u);
  EXPECT_EQ(PackUnitCount(*empty), 0u);
  const auto scalar = MakeTensorLayout(TensorType::kF32, {}, 1, MemoryLayout::kRowMajor, 0, 0);
  ASSERT_TRUE(scalar.has_value());
  EXPECT_EQ(scalar->slice_bytes, 4u);
  EXPECT_EQ(scalar->page_count, 1u);
}

}  // namespace
}  // namespace gguf_shard
