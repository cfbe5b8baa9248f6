#include "delta/target_hasher.h"

#include <algorithm>

#include "core/cancel.h"

namespace gguf_shard {
namespace {

constexpr uint64_t kHashReadBytes = uint64_t{1} << 20;
// Longer than any piece: pieces are cut when they are read.
constexpr uint64_t kUncut = uint64_t{1} << 62;

}  // namespace

Result<std::unique_ptr<TargetHasher>> TargetHasher::Create(const ModelView& target) {
  std::unique_ptr<TargetHasher> hasher(new TargetHasher(target));
  for (uint32_t i = 0; i < target.files().size(); ++i) {
    FileState file;
    GS_ASSIGN(file.pieces, FilePieces(target, i, kUncut));
    hasher->files_.push_back(std::move(file));
  }
  return hasher;
}

std::span<std::byte> TargetHasher::NextBuffer(uint64_t byte_size) {
  last_buffer_ = 1 - last_buffer_;
  std::vector<std::byte>& buffer = buffers_[last_buffer_];
  if (buffer.size() < byte_size) buffer.resize(byte_size);
  return std::span(buffer).first(byte_size);
}

Result<void> TargetHasher::Offer(uint32_t tensor_index, uint64_t offset,
                                 std::span<const std::byte> bytes) {
  GS_TRY(task_.Wait());
  const ViewTensor& tensor = target_.tensors()[tensor_index];
  if (target_.files()[tensor.file_index].sha256) return {};
  const uint64_t place = tensor.offset + offset;
  return task_.Submit([this, file_index = tensor.file_index, place, bytes]() -> Result<void> {
    GS_TRY(ReadUntil(file_index, place));
    FileState& file = files_[file_index];
    if (file.position != place) return {};
    file.hasher.Update(bytes);
    file.position += bytes.size();
    return {};
  });
}

Result<void> TargetHasher::ReadUntil(uint32_t file_index, uint64_t end) {
  FileState& file = files_[file_index];
  while (file.position < end) {
    GS_TRY(CheckCancelled());
    const FilePiece& piece = file.pieces[file.next_piece];
    const uint64_t done = file.position - piece.offset;
    if (done >= piece.byte_size) {
      ++file.next_piece;
      continue;
    }
    const uint64_t count = std::min({kHashReadBytes, piece.byte_size - done, end - file.position});
    own_buffer_.resize(std::max<size_t>(own_buffer_.size(), count));
    const auto part = std::span(own_buffer_).first(count);
    GS_TRY(ReadPiece(target_, file_index,
                     {piece.kind, file.position, count, piece.index, piece.inside + done}, part));
    file.hasher.Update(part);
    file.position += count;
  }
  return {};
}

Result<std::vector<Sha256Digest>> TargetHasher::Finish() {
  GS_TRY(task_.Wait());
  std::vector<Sha256Digest> digests;
  for (uint32_t i = 0; i < files_.size(); ++i) {
    const ViewFile& file = target_.files()[i];
    if (file.sha256) {
      digests.push_back(*file.sha256);
      continue;
    }
    GS_TRY(ReadUntil(i, file.byte_size));
    digests.push_back(files_[i].hasher.Finish());
  }
  return digests;
}

}  // namespace gguf_shard
