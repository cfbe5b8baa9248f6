// A model's files as a sequence of pieces, and a pipeline over them: pieces are read on several
// threads and handed on in order. What hashing, writing and checking a target have in common.
//
// Thread-safety: Pieces and ReadPiece may be used from many threads.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/error.h"
#include "core/progress.h"
#include "delta/model_view.h"

namespace gguf_shard {

struct FilePiece {
  enum class Kind : uint8_t { kHeader, kTensor, kGap, kZeros };
  Kind kind;
  uint64_t offset;  // in the file
  uint64_t byte_size;
  uint32_t index;   // tensor, or gap of the file
  uint64_t inside;  // offset within header, tensor or gap
};

// The pieces of a file, ascending, without a hole, each at most max_bytes long. kMalformed when a
// gap overlaps a tensor.
Result<std::vector<FilePiece>> FilePieces(const ModelView& view, uint32_t file_index,
                                          uint64_t max_bytes);
Result<void> ReadPiece(const ModelView& view, uint32_t file_index, const FilePiece& piece,
                       std::span<std::byte> target);

// Calls `consume` with all pieces and their bytes, a few adjacent ones at a time, in order, on the
// calling thread, while others read ahead. The bytes lie as for WriteAroundCache. Polls for Ctrl-C
// and advances `progress`.
using PieceConsumer =
    std::function<Result<void>(std::span<const FilePiece>, std::span<const std::byte>)>;
Result<void> StreamFile(const ModelView& view, uint32_t file_index, uint32_t thread_count,
                        Progress& progress, const PieceConsumer& consume);

// The SHA-256 of a file, by reading all of it.
Result<Sha256Digest> HashFile(const ModelView& view, uint32_t file_index, uint32_t thread_count,
                              Progress& progress);

}  // namespace gguf_shard
