// A model as one or more GGUF files: a plain file, or the parts of a split
// (`NAME-00001-of-000NN.gguf`, metadata split.no / split.count / split.tensors.count).
//
// Invariants: part 0 holds the model's metadata; parts are complete, consistent and in order;
// tensor names are unique across parts. Immutable after opening; ReadAt of its files is
// thread-safe.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/file.h"
#include "core/gguf.h"

namespace gguf_shard {

// A split of more files is refused with kTooLarge: each part is an open file.
inline constexpr uint64_t kMaxGgufParts = 1000;

struct GgufPart {
  std::filesystem::path path;
  File file;
  GgufHeader header;
};

struct GgufModelTensor {
  size_t part_index;
  const GgufTensor* tensor;  // owned by the part's header
  uint64_t file_offset;      // absolute, in the part's file
};

struct GgufModel {
  std::vector<GgufPart> parts;
  std::vector<GgufModelTensor> tensors;  // part by part, table order within a part

  const GgufHeader& metadata() const { return parts.front().header; }
  uint64_t total_file_bytes() const;
};

// Opens a GGUF, or the whole split when `path` is any part of one. A missing or foreign part is
// named.
Result<GgufModel> OpenGgufModel(const std::filesystem::path& path);

}  // namespace gguf_shard
