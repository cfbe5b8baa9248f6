#include "delta/target_hasher.h"

#include <algorithm>
#include <utility>

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

Result<std::span<std::byte>> TargetHasher::NextBuffer(uint64_t byte_size) {
  if (buffer_bytes_ != 0 && byte_size > buffers_[buffer_].size() - buffer_bytes_) {
    GS_TRY(HandOn());
    buffer_ = 1 - buffer_;
    buffer_bytes_ = 0;
  }
  std::vector<std::byte>& buffer = buffers_[buffer_];
  if (buffer_bytes_ == 0 && buffer.size() < byte_size) {
    buffer.resize(std::max(byte_size, kHashReadBytes));
  }
  return std::span(buffer).subspan(buffer_bytes_, byte_size);
}

void TargetHasher::Offer(uint32_t tensor_index, uint64_t offset, std::span<const std::byte> bytes) {
  buffer_bytes_ += bytes.size();
  const ViewTensor& tensor = target_.tensors()[tensor_index];
  if (target_.files()[tensor.file_index].sha256) return;
  offered_.push_back({tensor.file_index, tensor.offset + offset, bytes});
}

Result<void> TargetHasher::HandOn() {
  GS_TRY(task_.Wait());
  if (offered_.empty()) return {};
  return task_.Submit([this, offered = std::exchange(offered_, {})] { return Hash(offered); });
}

Result<void> TargetHasher::Hash(std::span<const Offered> offered) {
  for (const Offered& part : offered) {
    GS_TRY(ReadUntil(part.file_index, part.place));
    FileState& file = files_[part.file_index];
    if (file.position != part.place) continue;
    file.hasher.Update(part.bytes);
    file.position += part.bytes.size();
  }
  return {};
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
  GS_TRY(HandOn());
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
