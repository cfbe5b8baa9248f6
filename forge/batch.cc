#include "forge/batch.h"

#include <algorithm>
#include <cstring>

namespace gguf_shard {

std::optional<Batch> BatchCursor::Next() {
  if (segment_index_ == segments_.size()) return std::nullopt;
  Batch batch;
  batch.sequence = next_sequence_++;
  batch.source_file = segments_[segment_index_].source_file;
  while (segment_index_ < segments_.size() &&
         segments_[segment_index_].source_file == batch.source_file && AddPiece(batch)) {
  }
  return batch;
}

bool BatchCursor::AddPiece(Batch& batch) {
  const Segment& segment = segments_[segment_index_];
  return segment.kind == SegmentKind::kPadding ? AddPadding(segment, batch)
                                               : AddUnits(segment, batch);
}

bool BatchCursor::AddPadding(const Segment& segment, Batch& batch) {
  if (batch.source_bytes >= target_bytes_) return false;
  BatchPiece piece;
  piece.source_bytes =
      std::min(segment.source_bytes - padding_taken_, target_bytes_ - batch.source_bytes);
  if (batch.pieces.empty()) batch.source_offset = segment.source_offset + padding_taken_;
  padding_taken_ += piece.source_bytes;
  Append(piece, batch);
  if (padding_taken_ == segment.source_bytes) {
    ++segment_index_;
    padding_taken_ = 0;
  }
  return true;
}

bool BatchCursor::AddUnits(const Segment& segment, Batch& batch) {
  BatchPiece piece;
  piece.first_unit = next_unit_;
  const uint64_t all_units = PackUnitCount(segment.layout);
  while (next_unit_ < all_units) {
    const PackUnit unit = GetPackUnit(segment.layout, next_unit_);
    const uint64_t source_bytes = batch.source_bytes + piece.source_bytes + unit.source_bytes;
    const uint64_t pages = piece.page_count + unit.page_count;
    const bool fits =
        source_bytes <= target_bytes_ && batch.page_bytes + pages * kPageBytes <= 2 * target_bytes_;
    // A unit larger than the target gets a batch of its own.
    const bool first = batch.pieces.empty() && piece.unit_count == 0;
    if (!fits && !first) break;
    if (piece.unit_count == 0) {
      piece.first_page = segment.first_page + unit.first_page;
      if (batch.pieces.empty()) batch.source_offset = segment.source_offset + unit.source_offset;
    }
    piece.source_bytes += unit.source_bytes;
    piece.page_count = pages;
    ++piece.unit_count;
    ++next_unit_;
  }
  if (piece.unit_count == 0) return false;
  Append(piece, batch);
  if (next_unit_ == all_units) {
    ++segment_index_;
    next_unit_ = 0;
  }
  return true;
}

void BatchCursor::Append(BatchPiece piece, Batch& batch) {
  piece.segment_index = segment_index_;
  piece.offset_in_source = batch.source_bytes;
  piece.offset_in_pages = batch.page_bytes;
  batch.source_bytes += piece.source_bytes;
  batch.page_bytes += piece.page_count * kPageBytes;
  batch.pieces.push_back(piece);
}

namespace {

// Calls `handle(unit, source bytes, pages)` for every unit of a piece.
template <typename Source, typename Pages, typename Handle>
void ForEachUnit(const Segment& segment, const BatchPiece& piece, Source source, Pages pages,
                 Handle handle) {
  source = source.subspan(piece.offset_in_source, piece.source_bytes);
  pages = pages.subspan(piece.offset_in_pages, piece.page_count * kPageBytes);
  for (uint64_t i = 0; i < piece.unit_count; ++i) {
    const PackUnit unit = GetPackUnit(segment.layout, piece.first_unit + i);
    handle(unit, source.first(unit.source_bytes), pages.first(unit.page_count * kPageBytes));
    source = source.subspan(unit.source_bytes);
    pages = pages.subspan(unit.page_count * kPageBytes);
  }
}

}  // namespace

void PackPiece(const Segment& segment, const BatchPiece& piece, std::span<const std::byte> source,
               std::span<std::byte> pages) {
  ForEachUnit(segment, piece, source, pages,
              [&segment](const PackUnit& unit, auto unit_source, auto unit_pages) {
                PackPages(segment.layout, unit, unit_source, unit_pages);
              });
}

void UnpackPiece(const Segment& segment, const BatchPiece& piece, std::span<const std::byte> pages,
                 std::span<std::byte> source) {
  if (segment.kind == SegmentKind::kPadding) {
    const auto padding = source.subspan(piece.offset_in_source, piece.source_bytes);
    std::memset(padding.data(), 0, padding.size());
    return;
  }
  ForEachUnit(segment, piece, source, pages,
              [&segment](const PackUnit& unit, auto unit_source, auto unit_pages) {
                UnpackPages(segment.layout, unit, unit_pages, unit_source);
              });
}

}  // namespace gguf_shard
