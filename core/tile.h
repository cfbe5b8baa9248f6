// How a tensor lies in pages: the two memory layouts, and the exact, reversible packing between a
// tensor's source bytes and page contents.
//
// row_major: blocks in source order, floor(4088 / block_bytes) whole blocks to a page.
//
// column_major: a page is a tile of tile_rows (R) x tile_columns weights. With K = blocks per tile
// row and W = 4-byte words per block (core/tensor_type.h), a page's content is a struct of arrays:
//
//   0                                          K*W*R*4                    + K*R*short_bytes    4088
//   +---------------+---------------+---------+------------------+-------+---------------------+
//   | block 0 word 0| block 0 word 1|   ...   | block 0 short    |  ...  | zeros               |
//   |  R x u32      |  R x u32      | (k, w)  |  R x short_bytes |  (k)  |                     |
//   +---------------+---------------+---------+------------------+-------+---------------------+
//
// so word w of all R rows lies together and every word is 4-byte aligned whatever R is. Pages of a
// strip (R matrix rows) follow each other along the columns; strips follow each other along the
// rows. Tiles over the right and lower edge are padded with zero blocks.
//
// A tensor of experts has `slice_count` slices (one matrix each); a slice starts on a page and has
// pages_per_slice pages. Everything else has one slice.
//
// Thread-safety: pure functions over caller's memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/error.h"
#include "core/page.h"
#include "core/tensor_type.h"

namespace gguf_shard {

enum class MemoryLayout : uint8_t { kRowMajor, kColumnMajor };
std::string_view MemoryLayoutName(MemoryLayout layout);  // "row_major", "column_major"
Result<MemoryLayout> MemoryLayoutFromName(std::string_view name);

// Tile heights that the kernels support (ChooseTileShape keeps shapes within them).
inline constexpr uint32_t kMaxTileRows = 64;

// Where the planes of a tile lie in a page. All offsets in bytes from the start of the page.
struct TileGeometry {
  uint32_t rows;                 // R
  uint32_t columns;              // weights
  uint32_t blocks_per_row;       // K
  uint32_t words_per_block;      // W
  uint32_t short_bytes;          // 0, 1, 2
  uint32_t short_planes_offset;  // = K * W * R * 4

  uint32_t word_plane_offset(uint32_t block, uint32_t word) const {
    return (block * words_per_block + word) * rows * 4;
  }
  uint32_t short_plane_offset(uint32_t block) const {
    return short_planes_offset + block * rows * short_bytes;
  }
};
// GS_CHECKs that the shape fits a page and the type has a tile layout.
TileGeometry MakeTileGeometry(TensorType type, uint32_t tile_rows, uint32_t tile_columns);

struct TensorLayout {
  TensorType type;
  MemoryLayout layout;
  uint64_t columns;  // weights per row (ne[0]); 1 for a 0-dimensional tensor
  uint64_t rows;     // rows per slice
  uint64_t slice_count;
  uint32_t tile_rows;  // column_major only, else 0
  uint32_t tile_columns;

  uint64_t row_bytes;    // source bytes of one row
  uint64_t slice_bytes;  // source bytes of one slice
  uint64_t pages_per_slice;
  uint64_t page_count;  // slice_count * pages_per_slice

  uint32_t blocks_per_page() const { return kPageContentBytes / GetTensorType(type).block_bytes; }
  uint64_t strip_count() const { return DivCeilRows(rows, tile_rows); }  // column_major
  uint64_t pages_per_strip() const { return DivCeilRows(columns, tile_columns); }
  TileGeometry geometry() const { return MakeTileGeometry(type, tile_rows, tile_columns); }

 private:
  static uint64_t DivCeilRows(uint64_t a, uint64_t b) { return a / b + (a % b != 0 ? 1 : 0); }
};

// Computes a layout and checks it: kMalformed when the shape overflows, rows are not whole blocks,
// the tile does not fit a page or the type has no tile layout. `shape` has ne[0] first; slice_count
// must divide the rows. Tile sizes are ignored (stored as 0) for row_major.
Result<TensorLayout> MakeTensorLayout(TensorType type, std::span<const uint64_t> shape,
                                      uint64_t slice_count, MemoryLayout layout, uint32_t tile_rows,
                                      uint32_t tile_columns);

// The tile shape with the fewest pages for a matrix, among those the kernels support; the type's
// default on a tie. The type must have a tile layout.
struct TileShape {
  uint32_t rows;
  uint32_t columns;
};
TileShape ChooseTileShape(TensorType type, uint64_t columns, uint64_t rows);

// The smallest independently packable part of a tensor: a strip (column_major) or a page
// (row_major). A contiguous range of the tensor's source bytes becomes a contiguous range of its
// pages.
struct PackUnit {
  uint64_t source_offset;  // from the start of the tensor's bytes
  uint64_t source_bytes;
  uint64_t first_page;  // from the tensor's first page
  uint64_t page_count;
};
uint64_t PackUnitCount(const TensorLayout& layout);
PackUnit GetPackUnit(const TensorLayout& layout, uint64_t unit_index);
// The unit that holds a page of the tensor, or a source byte of it.
uint64_t PackUnitOfPage(const TensorLayout& layout, uint64_t page);
uint64_t PackUnitOfSourceByte(const TensorLayout& layout, uint64_t source_offset);

// Fills the contents of the unit's pages (unused bytes zero; tags untouched) and back. Spans have
// exactly the unit's sizes (pages: page_count * 4096).
void PackPages(const TensorLayout& layout, const PackUnit& unit, std::span<const std::byte> source,
               std::span<std::byte> pages);
void UnpackPages(const TensorLayout& layout, const PackUnit& unit, std::span<const std::byte> pages,
                 std::span<std::byte> source);

// The pages that hold one row of a slice (embedding gather), and the row's source bytes from them.
struct RowPages {
  uint64_t first_page;  // from the tensor's first page
  uint64_t page_count;
};
RowPages GetRowPages(const TensorLayout& layout, uint64_t slice, uint64_t row);
void CopyRow(const TensorLayout& layout, uint64_t slice, uint64_t row,
             std::span<const std::byte> pages, std::span<std::byte> row_bytes);

}  // namespace gguf_shard
