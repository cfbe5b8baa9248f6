// The SHA-256 of the target's files, from bytes that were read for something else where they come
// in the files' order, from its own reading where they do not. Hashing runs beside the caller, one
// buffer behind; small tensors share a buffer, because waking a thread takes as long as hashing
// them. For one thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/digest.h"
#include "core/error.h"
#include "delta/model_view.h"
#include "delta/source_stream.h"
#include "delta/task_group.h"

namespace gguf_shard {

class TargetHasher {
 public:
  // `target` must outlive the hasher. Files whose digest is known are not hashed.
  static Result<std::unique_ptr<TargetHasher>> Create(const ModelView& target);

  // Room for the next bytes: what was offered before may still be read by the hasher.
  Result<std::span<std::byte>> NextBuffer(uint64_t byte_size);
  // Bytes of a tensor, in the room given last.
  void Offer(uint32_t tensor_index, uint64_t offset, std::span<const std::byte> bytes);
  // Reads what was not offered; the digest of every file.
  Result<std::vector<Sha256Digest>> Finish();

 private:
  struct FileState {
    std::vector<FilePiece> pieces;
    size_t next_piece = 0;
    uint64_t position = 0;  // bytes hashed
    Sha256Hasher hasher;
  };

  explicit TargetHasher(const ModelView& target) : target_(target), task_(1) {}
  // Bytes of a file that were offered.
  struct Offered {
    uint32_t file_index;
    uint64_t place;
    std::span<const std::byte> bytes;
  };
  // Hands on what was offered, when what came before is hashed.
  Result<void> HandOn();
  Result<void> Hash(std::span<const Offered> offered);
  Result<void> ReadUntil(uint32_t file_index, uint64_t end);

  const ModelView& target_;
  std::vector<FileState> files_;
  std::array<std::vector<std::byte>, 2> buffers_;  // of the caller
  size_t buffer_ = 0;                              // of the two: the one that is filled
  uint64_t buffer_bytes_ = 0;                      // filled
  std::vector<Offered> offered_;
  std::vector<std::byte> own_buffer_;
  TaskGroup task_;  // the last: it works on the others
};

}  // namespace gguf_shard
