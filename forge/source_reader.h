// Reads ranges of a model's source files past the page cache: sharding reads every byte once, and
// must not push everything else out of the cache. Falls back to buffered reads where the file
// system has no direct ones. Thread-safety: Read may be called from many threads at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/error.h"
#include "core/file.h"
#include "core/gguf_model.h"

namespace gguf_shard {

class SourceReader {
 public:
  // `model` must outlive the reader.
  static Result<SourceReader> Open(const GgufModel& model);

  // Reads `byte_size` bytes at `offset` of a file into `window`, which is page-aligned and at least
  // two pages larger; returns where in the window they lie.
  Result<std::span<std::byte>> Read(uint32_t source_file, uint64_t offset, uint64_t byte_size,
                                    std::span<std::byte> window) const;

 private:
  explicit SourceReader(const GgufModel& model) : model_(&model) {}

  const GgufModel* model_;
  std::vector<File> direct_files_;  // by source file
};

}  // namespace gguf_shard
