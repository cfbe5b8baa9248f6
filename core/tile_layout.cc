#include <fmt/format.h>

#include <algorithm>

#include "core/bytes.h"
#include "core/check.h"
#include "core/tile.h"

namespace gguf_shard {
namespace {

Error LayoutError(std::string sentence) {
  return Error(ErrorCode::kMalformed, std::move(sentence));
}

Result<void> CheckTile(const TensorTypeInfo& info, uint32_t tile_rows, uint32_t tile_columns) {
  if (!info.has_tile_layout()) {
    return Fail(LayoutError(fmt::format("type {} has no tile layout", info.name)));
  }
  if (tile_rows == 0 || tile_rows > kMaxTileRows) {
    return Fail(LayoutError("the tile height is out of range")
                    .Expected(fmt::format("1 to {}", kMaxTileRows))
                    .Found(tile_rows));
  }
  if (tile_columns == 0 || tile_columns % info.block_weights != 0) {
    return Fail(LayoutError("the tile width is not a whole number of blocks")
                    .Expected(fmt::format("a multiple of {}", info.block_weights))
                    .Found(tile_columns));
  }
  const uint64_t tile_bytes =
      uint64_t{tile_rows} * (tile_columns / info.block_weights) * info.block_bytes;
  if (tile_bytes > kPageContentBytes) {
    return Fail(LayoutError("the tile does not fit a page")
                    .Expected(fmt::format("at most {} bytes", kPageContentBytes))
                    .Found(tile_bytes));
  }
  return {};
}

}  // namespace

std::string_view MemoryLayoutName(MemoryLayout layout) {
  return layout == MemoryLayout::kRowMajor ? "row_major" : "column_major";
}

Result<MemoryLayout> MemoryLayoutFromName(std::string_view name) {
  if (name == "row_major") return MemoryLayout::kRowMajor;
  if (name == "column_major") return MemoryLayout::kColumnMajor;
  return Fail(LayoutError("the memory layout is unknown")
                  .Expected("row_major or column_major")
                  .Found(std::string(name.substr(0, 64))));
}

TileGeometry MakeTileGeometry(TensorType type, uint32_t tile_rows, uint32_t tile_columns) {
  const TensorTypeInfo& info = GetTensorType(type);
  GS_CHECK(CheckTile(info, tile_rows, tile_columns).has_value());
  TileGeometry geometry;
  geometry.rows = tile_rows;
  geometry.columns = tile_columns;
  geometry.blocks_per_row = tile_columns / info.block_weights;
  geometry.words_per_block = info.words_per_block();
  geometry.short_bytes = info.short_bytes;
  geometry.short_planes_offset = geometry.blocks_per_row * geometry.words_per_block * tile_rows * 4;
  return geometry;
}

Result<TensorLayout> MakeTensorLayout(TensorType type, std::span<const uint64_t> shape,
                                      uint64_t slice_count, MemoryLayout memory_layout,
                                      uint32_t tile_rows, uint32_t tile_columns) {
  const TensorTypeInfo& info = GetTensorType(type);
  TensorLayout layout{};
  layout.type = type;
  layout.layout = memory_layout;
  layout.columns = shape.empty() ? 1 : shape[0];
  layout.slice_count = slice_count;

  uint64_t all_rows = 1;
  for (size_t i = 1; i < shape.size(); ++i) {
    const auto product = CheckedMul(all_rows, shape[i]);
    if (!product) return Fail(LayoutError("the tensor's dimensions overflow"));
    all_rows = *product;
  }
  if (slice_count == 0 || all_rows % slice_count != 0) {
    return Fail(LayoutError("the slices do not divide the tensor's rows")
                    .Expected(fmt::format("a divisor of {}", all_rows))
                    .Found(slice_count));
  }
  layout.rows = all_rows / slice_count;
  if (layout.columns % info.block_weights != 0) {
    return Fail(LayoutError("a row is not a whole number of blocks")
                    .Expected(fmt::format("a multiple of {}", info.block_weights))
                    .Found(layout.columns));
  }
  const auto row_bytes = CheckedMul(layout.columns / info.block_weights, info.block_bytes);
  const auto slice_bytes = row_bytes ? CheckedMul(*row_bytes, layout.rows) : std::nullopt;
  const auto tensor_bytes = slice_bytes ? CheckedMul(*slice_bytes, slice_count) : std::nullopt;
  // Pages take at most 4096 / 4 times the bytes of the smallest type; keep far from overflow.
  if (!tensor_bytes || *tensor_bytes > (uint64_t{1} << 50)) {
    return Fail(LayoutError("the tensor's size overflows"));
  }
  layout.row_bytes = *row_bytes;
  layout.slice_bytes = *slice_bytes;

  if (memory_layout == MemoryLayout::kColumnMajor) {
    GS_TRY(CheckTile(info, tile_rows, tile_columns));
    layout.tile_rows = tile_rows;
    layout.tile_columns = tile_columns;
    layout.pages_per_slice =
        layout.slice_bytes == 0 ? 0 : layout.strip_count() * layout.pages_per_strip();
  } else {
    layout.pages_per_slice =
        DivCeil(layout.slice_bytes / info.block_bytes, layout.blocks_per_page());
  }
  const auto page_count = CheckedMul(layout.pages_per_slice, slice_count);
  if (!page_count || *page_count > (uint64_t{1} << 50)) {
    return Fail(LayoutError("the tensor's page count overflows"));
  }
  layout.page_count = *page_count;
  return layout;
}

TileShape ChooseTileShape(TensorType type, uint64_t columns, uint64_t rows) {
  const TensorTypeInfo& info = GetTensorType(type);
  GS_CHECK(info.has_tile_layout());
  const auto pages_for = [&](TileShape shape) {
    return DivCeil(columns, shape.columns) * DivCeil(rows, shape.rows);
  };
  TileShape best{info.tile_rows, info.tile_columns};
  // Widths in steps of a block (of 16 weights for float types, whose blocks are single weights).
  const uint32_t step = std::max<uint32_t>(info.block_weights, 16);
  constexpr uint32_t kMinTileRows = 12;  // below that vector lanes stay empty
  for (uint32_t width = step;; width += step) {
    const uint32_t row_bytes = width / info.block_weights * info.block_bytes;
    const uint32_t height = std::min(kPageContentBytes / row_bytes, kMaxTileRows - 1);
    if (height < kMinTileRows) break;
    const TileShape shape{height, width};
    if (pages_for(shape) < pages_for(best)) best = shape;
  }
  return best;
}

uint64_t PackUnitCount(const TensorLayout& layout) {
  if (layout.slice_bytes == 0) return 0;
  if (layout.layout == MemoryLayout::kRowMajor) return layout.page_count;
  return layout.slice_count * layout.strip_count();
}

PackUnit GetPackUnit(const TensorLayout& layout, uint64_t unit_index) {
  GS_CHECK(unit_index < PackUnitCount(layout));
  PackUnit unit;
  if (layout.layout == MemoryLayout::kRowMajor) {
    const uint64_t slice = unit_index / layout.pages_per_slice;
    const uint64_t page_bytes =
        uint64_t{layout.blocks_per_page()} * GetTensorType(layout.type).block_bytes;
    const uint64_t offset = unit_index % layout.pages_per_slice * page_bytes;
    unit.source_offset = slice * layout.slice_bytes + offset;
    unit.source_bytes = std::min(page_bytes, layout.slice_bytes - offset);
    unit.first_page = unit_index;
    unit.page_count = 1;
    return unit;
  }
  const uint64_t slice = unit_index / layout.strip_count();
  const uint64_t strip = unit_index % layout.strip_count();
  const uint64_t first_row = strip * layout.tile_rows;
  const uint64_t rows = std::min<uint64_t>(layout.tile_rows, layout.rows - first_row);
  unit.source_offset = slice * layout.slice_bytes + first_row * layout.row_bytes;
  unit.source_bytes = rows * layout.row_bytes;
  unit.page_count = layout.pages_per_strip();
  unit.first_page = slice * layout.pages_per_slice + strip * unit.page_count;
  return unit;
}

uint64_t PackUnitOfPage(const TensorLayout& layout, uint64_t page) {
  GS_CHECK(page < layout.page_count);
  if (layout.layout == MemoryLayout::kRowMajor) return page;
  // Strips tile a slice without remainder, so unit numbers run on across slices.
  return page / layout.pages_per_strip();
}

uint64_t PackUnitOfSourceByte(const TensorLayout& layout, uint64_t source_offset) {
  GS_CHECK(source_offset < layout.slice_bytes * layout.slice_count);
  const uint64_t slice = source_offset / layout.slice_bytes;
  const uint64_t offset = source_offset % layout.slice_bytes;
  if (layout.layout == MemoryLayout::kRowMajor) {
    const uint64_t page_bytes =
        uint64_t{layout.blocks_per_page()} * GetTensorType(layout.type).block_bytes;
    return slice * layout.pages_per_slice + offset / page_bytes;
  }
  return slice * layout.strip_count() + offset / layout.row_bytes / layout.tile_rows;
}

RowPages GetRowPages(const TensorLayout& layout, uint64_t slice, uint64_t row) {
  GS_CHECK(slice < layout.slice_count && row < layout.rows);
  const uint64_t slice_page = slice * layout.pages_per_slice;
  if (layout.layout == MemoryLayout::kColumnMajor) {
    const uint64_t pages = layout.pages_per_strip();
    return {slice_page + row / layout.tile_rows * pages, pages};
  }
  const uint64_t blocks_per_row = layout.columns / GetTensorType(layout.type).block_weights;
  const uint64_t first_block = row * blocks_per_row;
  const uint64_t first_page = first_block / layout.blocks_per_page();
  const uint64_t last_page = (first_block + blocks_per_row - 1) / layout.blocks_per_page();
  return {slice_page + first_page, last_page - first_page + 1};
}

}  // namespace gguf_shard
