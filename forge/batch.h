// Batches: the source cut into pieces of a few megabytes, each made of whole pack units, so that a
// batch can be read, packed, unpacked and hashed by itself.
//
//   file     | header | tensor A              | pad | tensor B | tensor C ...
//   batches  |  batch 0   |  batch 1   |  batch 2            |  batch 3 ...
//
// A batch lies in one file and is contiguous there. Its pages are contiguous piece by piece.
// Thread-safety: a cursor is for one thread at a time; batches are plain data.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "forge/segment.h"

namespace gguf_shard {

// A little less than a huge page, so that a batch's pages and its source fill two of them.
inline constexpr uint64_t kBatchBytes = (uint64_t{2} << 20) - (uint64_t{192} << 10);

struct BatchPiece {
  size_t segment_index = 0;
  uint64_t first_unit = 0;
  uint64_t unit_count = 0;        // 0 for padding
  uint64_t offset_in_source = 0;  // of the piece's bytes in the batch's source bytes
  uint64_t source_bytes = 0;
  uint64_t offset_in_pages = 0;  // of the piece's pages in the batch's page bytes
  uint64_t first_page = 0;       // in the core
  uint64_t page_count = 0;
};

struct Batch {
  uint64_t sequence = 0;  // 0, 1, 2, ... in source order
  uint32_t source_file = 0;
  uint64_t source_offset = 0;
  uint64_t source_bytes = 0;
  uint64_t page_bytes = 0;
  std::vector<BatchPiece> pieces;
};

// Walks segments from first to last. `segments` must outlive it.
class BatchCursor {
 public:
  explicit BatchCursor(std::span<const Segment> segments, uint64_t target_bytes = kBatchBytes)
      : segments_(segments), target_bytes_(target_bytes) {}
  // The next batch; nothing at the end.
  std::optional<Batch> Next();

 private:
  // Adds as much of the current segment as fits; false when nothing does.
  bool AddPiece(Batch& batch);
  bool AddPadding(const Segment& segment, Batch& batch);
  bool AddUnits(const Segment& segment, Batch& batch);
  void Append(BatchPiece piece, Batch& batch);

  std::span<const Segment> segments_;
  uint64_t target_bytes_;
  uint64_t next_sequence_ = 0;
  size_t segment_index_ = 0;
  uint64_t next_unit_ = 0;      // within the segment
  uint64_t padding_taken_ = 0;  // bytes, within a segment of padding
};

// Packs the units of a piece (pages still unsealed) and back. Spans are the batch's buffers.
void PackPiece(const Segment& segment, const BatchPiece& piece, std::span<const std::byte> source,
               std::span<std::byte> pages);
void UnpackPiece(const Segment& segment, const BatchPiece& piece, std::span<const std::byte> pages,
                 std::span<std::byte> source);

}  // namespace gguf_shard
