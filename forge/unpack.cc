#include "forge/unpack.h"

namespace gguf_shard {
namespace {

std::span<std::byte> PagesOf(const BatchPiece& piece, const BatchWork& work) {
  return work.pages.subspan(piece.offset_in_pages, piece.page_count * kPageBytes);
}

}  // namespace

Result<SourceDigests> UnpackAll(const CoreMap& map, FileHashing file_hashing,
                                const UnpackHandlers& handlers, Progress& progress) {
  GS_ASSIGN(const std::vector<Segment> segments, SegmentsOf(map));
  BatchCursor cursor(segments);
  SourceHasher hasher(map, segments, FileHashing::kNone);
  SourceHasher file_hasher(map, segments, FileHashing::kSha256Only);

  PipelineStages stages;
  stages.next = [&] { return cursor.Next(); };
  stages.load = [&](BatchWork& work) -> Result<void> {
    for (const BatchPiece& piece : work.batch.pieces) {
      if (piece.page_count == 0) continue;
      GS_TRY(handlers.read_pages(piece.first_page, PagesOf(piece, work)));
    }
    return {};
  };
  stages.work = [&](BatchWork& work) -> Result<void> {
    for (const BatchPiece& piece : work.batch.pieces) {
      if (handlers.check_pages && piece.page_count > 0) {
        handlers.check_pages(piece.first_page, PagesOf(piece, work));
      }
      UnpackPiece(segments[piece.segment_index], piece, work.pages, work.source);
    }
    return handlers.take_source(work.batch, work.source);
  };
  stages.finish = [&](BatchWork& work) -> Result<void> {
    hasher.Update(work.batch, work.source);
    progress.Advance(work.batch.source_bytes);
    return {};
  };
  // SHA-256 of a file is the slowest step, and can be no more than one thread's work: this one does
  // nothing else.
  if (file_hashing != FileHashing::kNone) {
    stages.beside = [&](BatchWork& work) -> Result<void> {
      file_hasher.Update(work.batch, work.source);
      return {};
    };
  }
  GS_TRY(RunPipeline(stages));
  SourceDigests digests = hasher.Finish();
  if (file_hashing != FileHashing::kNone) digests.files = file_hasher.Finish().files;
  return digests;
}

uint64_t SourceBytes(const CoreMap& map) {
  uint64_t bytes = 0;
  for (const MapSourceFile& file : map.source.files) bytes += file.byte_size;
  return bytes;
}

}  // namespace gguf_shard
