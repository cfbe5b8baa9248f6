// The digests of a model's source, from its bytes in source order: XXH3-128 per tensor and, where
// asked for, SHA-256 per file (which costs several times as much as everything else together).
// Thread-safety: for one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/digest.h"
#include "core/map.h"
#include "forge/batch.h"

namespace gguf_shard {

struct SourceDigests {
  std::vector<Sha256Digest> files;    // empty when files are not hashed
  std::vector<Xxh128Digest> tensors;  // as CoreMap::tensors
};

// kSha256Only: no digests of tensors, for those who compute them beside.
enum class FileHashing { kNone, kSha256, kSha256Only };

class SourceHasher {
 public:
  // `map` (its files and tensors, not their digests) and `segments` must outlive the hasher.
  SourceHasher(const CoreMap& map, std::span<const Segment> segments, FileHashing file_hashing);
  // Batches come in sequence, complete.
  void Update(const Batch& batch, std::span<const std::byte> source);
  // Once, after the last batch.
  SourceDigests Finish();

 private:
  void EndFile();
  void EndTensor();
  void UpdatePiece(const BatchPiece& piece, std::span<const std::byte> bytes);

  std::span<const Segment> segments_;
  bool hashes_tensors_;
  SourceDigests digests_;
  std::optional<uint32_t> file_;     // the file at hand
  std::optional<size_t> tensor_;     // and the tensor
  std::optional<Sha256Hasher> sha_;  // of file_; none when files are not hashed
  std::optional<Xxh128Hasher> xxh_;  // of tensor_
};

}  // namespace gguf_shard
