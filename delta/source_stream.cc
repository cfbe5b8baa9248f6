#include "delta/source_stream.h"

#include <algorithm>
#include <cstring>

#include "core/write_around.h"
#include "delta/ordered_pipeline.h"
#include "delta/spare_buffers.h"

namespace gguf_shard {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{1} << 20;

using enum FilePiece::Kind;

// Appends [offset, end) of one kind, cut to size.
void AppendCut(FilePiece::Kind kind, uint64_t offset, uint64_t end, uint32_t index,
               uint64_t max_bytes, std::vector<FilePiece>& pieces) {
  for (uint64_t inside = 0; offset + inside < end; inside += max_bytes) {
    const uint64_t byte_size = std::min(max_bytes, end - offset - inside);
    pieces.push_back({kind, offset + inside, byte_size, index, inside});
  }
}

// Bytes of several pieces, one after the other.
struct PieceBytes {
  BlockBuffer buffer;
  std::span<std::byte> bytes;  // in the buffer
};

// Pieces that are handed on together: many tensors are much smaller than what is worth a thread's
// attention.
using PieceGroup = std::span<const FilePiece>;
uint64_t ByteSize(PieceGroup group) {
  return group.back().offset + group.back().byte_size - group.front().offset;
}
std::vector<PieceGroup> GroupPieces(std::span<const FilePiece> pieces) {
  std::vector<PieceGroup> groups;
  for (size_t first = 0; first < pieces.size();) {
    size_t count = 1;
    while (first + count < pieces.size() &&
           ByteSize(pieces.subspan(first, count + 1)) <= kPieceBytes) {
      ++count;
    }
    groups.push_back(pieces.subspan(first, count));
    first += count;
  }
  return groups;
}

struct Extent {
  FilePiece::Kind kind;
  uint64_t offset;
  uint64_t byte_size;
  uint32_t index;
};

std::vector<Extent> FileExtents(const ModelView& view, uint32_t file_index) {
  const ViewFile& file = view.files()[file_index];
  std::vector<Extent> extents = {{kHeader, 0, file.header.bytes().size(), 0}};
  for (uint32_t i = 0; i < view.tensors().size(); ++i) {
    const ViewTensor& tensor = view.tensors()[i];
    if (tensor.file_index != file_index || tensor.byte_size == 0) continue;
    extents.push_back({kTensor, tensor.offset, tensor.byte_size, i});
  }
  for (uint32_t i = 0; i < file.gaps.size(); ++i) {
    extents.push_back({kGap, file.gaps[i].offset, file.gaps[i].byte_size, i});
  }
  std::stable_sort(extents.begin(), extents.end(),
                   [](const Extent& a, const Extent& b) { return a.offset < b.offset; });
  return extents;
}

}  // namespace

Result<std::vector<FilePiece>> FilePieces(const ModelView& view, uint32_t file_index,
                                          uint64_t max_bytes) {
  const ViewFile& file = view.files()[file_index];
  std::vector<FilePiece> pieces;
  uint64_t position = 0;
  for (const Extent& extent : FileExtents(view, file_index)) {
    if (extent.offset < position || extent.byte_size > file.byte_size ||
        extent.offset > file.byte_size - extent.byte_size) {
      return Fail(Error(ErrorCode::kMalformed, "parts of a source file overlap or leave it")
                      .File(file.name)
                      .Offset(extent.offset));
    }
    AppendCut(kZeros, position, extent.offset, 0, max_bytes, pieces);
    position = extent.offset + extent.byte_size;
    AppendCut(extent.kind, extent.offset, position, extent.index, max_bytes, pieces);
  }
  AppendCut(kZeros, position, file.byte_size, 0, max_bytes, pieces);
  return pieces;
}

Result<void> ReadPiece(const ModelView& view, uint32_t file_index, const FilePiece& piece,
                       std::span<std::byte> target) {
  const ViewFile& file = view.files()[file_index];
  switch (piece.kind) {
    case kHeader:
      std::memcpy(target.data(), file.header.bytes().data() + piece.inside, piece.byte_size);
      return {};
    case kTensor:
      return view.ReadTensor(piece.index, piece.inside, target);
    case kGap:
      return view.ReadGap(file_index, file.gaps[piece.index], piece.inside, target);
    case kZeros:
      break;
  }
  std::fill(target.begin(), target.end(), std::byte{0});
  return {};
}

Result<void> StreamFile(const ModelView& view, uint32_t file_index, uint32_t thread_count,
                        Progress& progress, const PieceConsumer& consume) {
  GS_ASSIGN(const auto pieces, FilePieces(view, file_index, kPieceBytes));
  const std::vector<PieceGroup> groups = GroupPieces(pieces);
  OrderedPipeline<PieceBytes> pipeline(groups.size(), std::max(1u, thread_count));
  SpareBuffers<BlockBuffer> buffers(groups.size());
  return pipeline.Run(
      [&](uint64_t i) -> Result<PieceBytes> {
        const PieceGroup group = groups[i];
        PieceBytes read{buffers.Take(), {}};
        read.bytes = read.buffer.Place(group.front().offset, ByteSize(group));
        for (const FilePiece& piece : group) {
          const uint64_t inside = piece.offset - group.front().offset;
          GS_TRY(ReadPiece(view, file_index, piece, read.bytes.subspan(inside, piece.byte_size)));
        }
        return read;
      },
      [&](uint64_t i, PieceBytes& read) -> Result<void> {
        GS_TRY(consume(groups[i], read.bytes));
        progress.Advance(read.bytes.size());
        buffers.Keep(std::move(read.buffer));
        return {};
      });
}

Result<Sha256Digest> HashFile(const ModelView& view, uint32_t file_index, uint32_t thread_count,
                              Progress& progress) {
  Sha256Hasher hasher;
  GS_TRY(
      StreamFile(view, file_index, thread_count, progress,
                 [&](std::span<const FilePiece>, std::span<const std::byte> bytes) -> Result<void> {
                   hasher.Update(bytes);
                   return {};
                 }));
  return hasher.Finish();
}

}  // namespace gguf_shard
