#include "forge/unpack.h"

namespace gguf_shard {

Result<SourceDigests> UnpackAll(const CoreMap& map, FileHashing file_hashing,
                                const UnpackHandlers& handlers, Progress& progress) {
  GS_ASSIGN(const std::vector<Segment> segments, SegmentsOf(map));
  BatchCursor cursor(segments);
  SourceHasher hasher(map, segments, file_hashing);

  PipelineStages stages;
  stages.next = [&] { return cursor.Next(); };
  stages.load = [&](BatchWork& work) -> Result<void> {
    for (const BatchPiece& piece : work.batch.pieces) {
      if (piece.page_count == 0) continue;
      GS_TRY(handlers.read_pages(
          piece.first_page,
          work.pages.subspan(piece.offset_in_pages, piece.page_count * kPageBytes)));
    }
    return {};
  };
  stages.work = [&](BatchWork& work) -> Result<void> {
    for (const BatchPiece& piece : work.batch.pieces) {
      UnpackPiece(segments[piece.segment_index], piece, work.pages, work.source);
    }
    return handlers.take_source(work.batch, work.source);
  };
  stages.finish = [&](BatchWork& work) -> Result<void> {
    hasher.Update(work.batch, work.source);
    progress.Advance(work.batch.source_bytes);
    return {};
  };
  GS_TRY(RunPipeline(stages));
  return hasher.Finish();
}

uint64_t SourceBytes(const CoreMap& map) {
  uint64_t bytes = 0;
  for (const MapSourceFile& file : map.source.files) bytes += file.byte_size;
  return bytes;
}

}  // namespace gguf_shard
