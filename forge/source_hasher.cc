#include "forge/source_hasher.h"

#include <algorithm>

#include "core/check.h"

namespace gguf_shard {
namespace {

// Both hashes run over a piece of this size while it is in the processor's cache.
constexpr size_t kHashStepBytes = 64 << 10;

}  // namespace

SourceHasher::SourceHasher(const CoreMap& map, std::span<const Segment> segments,
                           FileHashing file_hashing)
    : segments_(segments), hashes_tensors_(file_hashing != FileHashing::kSha256Only) {
  if (file_hashing != FileHashing::kNone) digests_.files.resize(map.source.files.size());
  // Empty tensors have no segment: theirs is the digest of no bytes.
  digests_.tensors.assign(map.tensors.size(), Xxh128Hasher().Finish());
}

void SourceHasher::Update(const Batch& batch, std::span<const std::byte> source) {
  if (file_ != batch.source_file) {
    EndFile();
    file_ = batch.source_file;
    if (!digests_.files.empty()) sha_.emplace();
  }
  for (const BatchPiece& piece : batch.pieces) {
    UpdatePiece(piece, source.subspan(piece.offset_in_source, piece.source_bytes));
  }
}

void SourceHasher::UpdatePiece(const BatchPiece& piece, std::span<const std::byte> bytes) {
  const Segment& segment = segments_[piece.segment_index];
  const bool in_tensor = hashes_tensors_ && segment.kind == SegmentKind::kTensor;
  if (!in_tensor || tensor_ != segment.tensor_index) EndTensor();
  if (in_tensor && !tensor_) {
    tensor_ = segment.tensor_index;
    xxh_.emplace();
  }
  while (!bytes.empty()) {
    const auto step = bytes.first(std::min(kHashStepBytes, bytes.size()));
    if (sha_) sha_->Update(step);
    if (in_tensor) xxh_->Update(step);
    bytes = bytes.subspan(step.size());
  }
}

void SourceHasher::EndFile() {
  EndTensor();
  if (sha_) digests_.files[*file_] = sha_->Finish();
  sha_.reset();
  file_.reset();
}

void SourceHasher::EndTensor() {
  if (tensor_) digests_.tensors[*tensor_] = xxh_->Finish();
  tensor_.reset();
}

SourceDigests SourceHasher::Finish() {
  EndFile();
  return std::move(digests_);
}

}  // namespace gguf_shard
