// The digests of a model's source, from its bytes in source order: SHA-256 per file, XXH3-128 per
// tensor. Thread-safety: for one thread.
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
  std::vector<Sha256Digest> files;
  std::vector<Xxh128Digest> tensors;  // as CoreMap::tensors
};

class SourceHasher {
 public:
  // `map` (its files and tensors, not their digests) and `segments` must outlive the hasher.
  SourceHasher(const CoreMap& map, std::span<const Segment> segments);
  // Batches come in sequence, complete.
  void Update(const Batch& batch, std::span<const std::byte> source);
  // Once, after the last batch.
  SourceDigests Finish();

 private:
  void EndFile();
  void EndTensor();
  void UpdatePiece(const BatchPiece& piece, std::span<const std::byte> bytes);

  std::span<const Segment> segments_;
  SourceDigests digests_;
  std::optional<uint32_t> file_;     // the file being hashed
  std::optional<size_t> tensor_;     // and the tensor
  std::optional<Sha256Hasher> sha_;  // of file_
  std::optional<Xxh128Hasher> xxh_;  // of tensor_
};

}  // namespace gguf_shard
