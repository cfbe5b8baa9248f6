// Builds small GGUF files of any shape, byte by byte: what real converters would never write, but
// the format allows. Thread-safety: for one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/gguf_writer.h"
#include "core/tensor_type.h"

namespace gguf_shard {

// `count` bytes that follow from the seed.
std::vector<std::byte> RandomBytes(uint64_t seed, size_t count);

class ModelBuilder {
 public:
  explicit ModelBuilder(uint64_t alignment = kDefaultGgufAlignment);

  GgufWriter& metadata() { return writer_; }
  // Adds a tensor with random bytes, at the next aligned place behind `extra_gap_bytes` more.
  ModelBuilder& Tensor(const std::string& name, TensorType type, std::vector<uint64_t> shape,
                       uint64_t extra_gap_bytes = 0);
  // Bytes between tensors are 0xA5 instead of zeros.
  ModelBuilder& DirtyGaps();
  // Random bytes behind the last tensor; zeros when `dirty` is false.
  ModelBuilder& Trailing(uint64_t byte_size, bool dirty = true);

  std::vector<std::byte> Build() const;
  void Write(const std::filesystem::path& path) const;

 private:
  struct Place {
    uint64_t offset;
    uint64_t byte_size;
  };

  uint64_t alignment_;
  GgufWriter writer_;
  std::vector<Place> places_;
  uint64_t end_ = 0;
  bool dirty_gaps_ = false;
  uint64_t trailing_bytes_ = 0;
  bool dirty_trailing_ = false;
};

void WriteBytes(const std::filesystem::path& path, const std::vector<std::byte>& bytes);
std::vector<std::byte> ReadBytes(const std::filesystem::path& path);

}  // namespace gguf_shard
