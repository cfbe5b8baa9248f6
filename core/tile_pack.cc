#include <algorithm>
#include <cstring>

#include "core/check.h"
#include "core/tile.h"

namespace gguf_shard {
namespace {

// Copies the planes of one block between its source form and its places in a page.
struct BlockCopier {
  TileGeometry geometry;
  uint32_t words_offset;
  uint32_t short_offset;

  explicit BlockCopier(const TensorLayout& layout)
      : geometry(layout.geometry()),
        words_offset(GetTensorType(layout.type).words_offset()),
        short_offset(GetTensorType(layout.type).short_offset) {}

  void ToPage(const std::byte* block, uint32_t k, uint32_t row, std::byte* page) const {
    std::byte* word = page + geometry.word_plane_offset(k, 0) + row * 4;
    const std::byte* source = block + words_offset;
    for (uint32_t w = 0; w < geometry.words_per_block; ++w) {
      std::memcpy(word, source, 4);
      word += geometry.rows * 4;
      source += 4;
    }
    std::byte* short_field = page + geometry.short_plane_offset(k) + row * geometry.short_bytes;
    if (geometry.short_bytes == 2) std::memcpy(short_field, block + short_offset, 2);
    if (geometry.short_bytes == 1) *short_field = block[short_offset];
  }

  void FromPage(const std::byte* page, uint32_t k, uint32_t row, std::byte* block) const {
    const std::byte* word = page + geometry.word_plane_offset(k, 0) + row * 4;
    std::byte* target = block + words_offset;
    for (uint32_t w = 0; w < geometry.words_per_block; ++w) {
      std::memcpy(target, word, 4);
      word += geometry.rows * 4;
      target += 4;
    }
    const std::byte* short_field =
        page + geometry.short_plane_offset(k) + row * geometry.short_bytes;
    if (geometry.short_bytes == 2) std::memcpy(block + short_offset, short_field, 2);
    if (geometry.short_bytes == 1) block[short_offset] = *short_field;
  }
};

// The part of a tile that the matrix covers.
struct TileCover {
  uint32_t rows;
  uint32_t blocks;
  uint64_t first_block;  // within the row
};

TileCover CoverOf(const TensorLayout& layout, uint64_t rows_in_strip, uint64_t tile) {
  const auto& info = GetTensorType(layout.type);
  const uint64_t blocks_per_row = layout.columns / info.block_weights;
  const uint32_t blocks_per_tile = layout.tile_columns / info.block_weights;
  const uint64_t first_block = tile * blocks_per_tile;
  const uint64_t blocks = std::min<uint64_t>(blocks_per_tile, blocks_per_row - first_block);
  return {static_cast<uint32_t>(rows_in_strip), static_cast<uint32_t>(blocks), first_block};
}

// Types whose block is one weight (F16, BF16, F32) are plain transposes: one plane per column. The
// general copier would spend its time on loop overhead.
template <typename Weight>
void TransposeToPage(const std::byte* source, const TensorLayout& layout, const TileCover& cover,
                     std::byte* page) {
  for (uint32_t row = 0; row < cover.rows; ++row) {
    const std::byte* weight = source + row * layout.row_bytes;
    std::byte* place = page + row * sizeof(Weight);
    for (uint32_t k = 0; k < cover.blocks; ++k) {
      std::memcpy(place, weight, sizeof(Weight));
      weight += sizeof(Weight);
      place += layout.tile_rows * sizeof(Weight);
    }
  }
}

template <typename Weight>
void TransposeFromPage(const std::byte* page, const TensorLayout& layout, const TileCover& cover,
                       std::byte* source) {
  for (uint32_t row = 0; row < cover.rows; ++row) {
    std::byte* weight = source + row * layout.row_bytes;
    const std::byte* place = page + row * sizeof(Weight);
    for (uint32_t k = 0; k < cover.blocks; ++k) {
      std::memcpy(weight, place, sizeof(Weight));
      weight += sizeof(Weight);
      place += layout.tile_rows * sizeof(Weight);
    }
  }
}

// `source` points to the tile's first block in the strip's first row.
void PackTile(const BlockCopier& copier, const TensorLayout& layout, const TileCover& cover,
              const std::byte* source, std::byte* page) {
  const TensorTypeInfo& info = GetTensorType(layout.type);
  std::memset(page, 0, kPageContentBytes);
  if (info.block_weights == 1 && info.block_bytes == 2) {
    return TransposeToPage<uint16_t>(source, layout, cover, page);
  }
  if (info.block_weights == 1 && info.block_bytes == 4) {
    return TransposeToPage<uint32_t>(source, layout, cover, page);
  }
  for (uint32_t row = 0; row < cover.rows; ++row) {
    const std::byte* block = source + row * layout.row_bytes;
    for (uint32_t k = 0; k < cover.blocks; ++k, block += info.block_bytes) {
      copier.ToPage(block, k, row, page);
    }
  }
}

void UnpackTile(const BlockCopier& copier, const TensorLayout& layout, const TileCover& cover,
                const std::byte* page, std::byte* source) {
  const TensorTypeInfo& info = GetTensorType(layout.type);
  if (info.block_weights == 1 && info.block_bytes == 2) {
    return TransposeFromPage<uint16_t>(page, layout, cover, source);
  }
  if (info.block_weights == 1 && info.block_bytes == 4) {
    return TransposeFromPage<uint32_t>(page, layout, cover, source);
  }
  for (uint32_t row = 0; row < cover.rows; ++row) {
    std::byte* block = source + row * layout.row_bytes;
    for (uint32_t k = 0; k < cover.blocks; ++k, block += info.block_bytes) {
      copier.FromPage(page, k, row, block);
    }
  }
}

void PackStrip(const TensorLayout& layout, std::span<const std::byte> source,
               std::span<std::byte> pages) {
  const BlockCopier copier(layout);
  const uint32_t block_bytes = GetTensorType(layout.type).block_bytes;
  const uint64_t rows_in_strip = source.size() / layout.row_bytes;
  for (uint64_t tile = 0; tile < layout.pages_per_strip(); ++tile) {
    std::byte* page = pages.data() + tile * kPageBytes;
    const TileCover cover = CoverOf(layout, rows_in_strip, tile);
    PackTile(copier, layout, cover, source.data() + cover.first_block * block_bytes, page);
  }
}

void UnpackStrip(const TensorLayout& layout, std::span<const std::byte> pages,
                 std::span<std::byte> source) {
  const BlockCopier copier(layout);
  const uint32_t block_bytes = GetTensorType(layout.type).block_bytes;
  const uint64_t rows_in_strip = source.size() / layout.row_bytes;
  for (uint64_t tile = 0; tile < layout.pages_per_strip(); ++tile) {
    const std::byte* page = pages.data() + tile * kPageBytes;
    const TileCover cover = CoverOf(layout, rows_in_strip, tile);
    UnpackTile(copier, layout, cover, page, source.data() + cover.first_block * block_bytes);
  }
}

}  // namespace

void PackPages(const TensorLayout& layout, const PackUnit& unit, std::span<const std::byte> source,
               std::span<std::byte> pages) {
  GS_CHECK(source.size() == unit.source_bytes && pages.size() == unit.page_count * kPageBytes);
  if (layout.layout == MemoryLayout::kColumnMajor) {
    PackStrip(layout, source, pages);
    return;
  }
  std::memcpy(pages.data(), source.data(), source.size());
  std::memset(pages.data() + source.size(), 0, kPageContentBytes - source.size());
}

void UnpackPages(const TensorLayout& layout, const PackUnit& unit, std::span<const std::byte> pages,
                 std::span<std::byte> source) {
  GS_CHECK(source.size() == unit.source_bytes && pages.size() == unit.page_count * kPageBytes);
  if (layout.layout == MemoryLayout::kColumnMajor) {
    UnpackStrip(layout, pages, source);
    return;
  }
  std::memcpy(source.data(), pages.data(), source.size());
}

void CopyRow(const TensorLayout& layout, uint64_t slice, uint64_t row,
             std::span<const std::byte> pages, std::span<std::byte> row_bytes) {
  const RowPages row_pages = GetRowPages(layout, slice, row);
  GS_CHECK(pages.size() == row_pages.page_count * kPageBytes);
  GS_CHECK(row_bytes.size() == layout.row_bytes);
  const uint32_t block_bytes = GetTensorType(layout.type).block_bytes;
  std::byte* target = row_bytes.data();
  if (layout.layout == MemoryLayout::kColumnMajor) {
    const BlockCopier copier(layout);
    const auto row_in_tile = static_cast<uint32_t>(row % layout.tile_rows);
    for (uint64_t tile = 0; tile < row_pages.page_count; ++tile) {
      const TileCover cover = CoverOf(layout, 1, tile);
      for (uint32_t k = 0; k < cover.blocks; ++k, target += block_bytes) {
        copier.FromPage(pages.data() + tile * kPageBytes, k, row_in_tile, target);
      }
    }
    return;
  }
  const uint64_t blocks_per_row = layout.row_bytes / block_bytes;
  uint64_t block = row * blocks_per_row;
  const uint64_t first_page = block / layout.blocks_per_page();
  for (uint64_t i = 0; i < blocks_per_row; ++i, ++block, target += block_bytes) {
    const uint64_t page = block / layout.blocks_per_page() - first_page;
    const uint64_t place = block % layout.blocks_per_page() * block_bytes;
    std::memcpy(target, pages.data() + page * kPageBytes + place, block_bytes);
  }
}

}  // namespace gguf_shard
