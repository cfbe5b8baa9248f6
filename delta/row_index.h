// Finds rows of a base tensor by their content, so that rows that moved (a vocabulary that grew, a
// reordered matrix) are copied instead of coded. Rows are found by a 64-bit hash; the caller
// compares the bytes. Built once, then immutable; thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/error.h"
#include "delta/model_view.h"

namespace gguf_shard {

class RowIndex {
 public:
  // Above this many rows (or below this many bytes in a row) a tensor is not searched.
  static constexpr uint64_t kMaxRows = uint64_t{4} << 20;
  static constexpr uint64_t kMinRowBytes = 64;
  static bool IsWorthwhile(uint64_t row_bytes, uint64_t row_count);

  // Reads the whole tensor.
  static Result<RowIndex> Build(const ModelView& base, uint32_t tensor_index, uint64_t row_bytes);

  // A base row that probably equals these bytes; `preferred` if it does.
  std::optional<uint64_t> Find(std::span<const std::byte> row, uint64_t preferred) const;

 private:
  struct Entry {
    uint64_t hash;
    uint64_t row;
  };
  std::vector<Entry> entries_;  // by hash, then row
};

}  // namespace gguf_shard
