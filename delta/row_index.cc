#include "delta/row_index.h"

#include <algorithm>

#include "core/bytes.h"

namespace gguf_shard {
namespace {

constexpr uint64_t kRowReadBytes = uint64_t{1} << 20;

uint64_t HashRow(std::span<const std::byte> row) {
  Xxh128Hasher hasher;
  hasher.Update(row);
  return LoadLe<uint64_t>(hasher.Finish().data());
}

}  // namespace

bool RowIndex::IsWorthwhile(uint64_t row_bytes, uint64_t row_count) {
  return row_bytes >= kMinRowBytes && row_bytes <= kRowReadBytes && row_count > 1 &&
         row_count <= kMaxRows;
}

Result<RowIndex> RowIndex::Build(const ModelView& base, uint32_t tensor_index, uint64_t row_bytes) {
  RowIndex index;
  const uint64_t row_count = base.tensors()[tensor_index].byte_size / row_bytes;
  const uint64_t rows_per_read = std::max<uint64_t>(kRowReadBytes / row_bytes, 1);
  std::vector<std::byte> buffer(rows_per_read * row_bytes);
  index.entries_.reserve(row_count);
  for (uint64_t first = 0; first < row_count; first += rows_per_read) {
    const uint64_t count = std::min(rows_per_read, row_count - first);
    const auto rows = std::span(buffer).first(count * row_bytes);
    GS_TRY(base.ReadTensor(tensor_index, first * row_bytes, rows));
    for (uint64_t i = 0; i < count; ++i) {
      index.entries_.push_back({HashRow(rows.subspan(i * row_bytes, row_bytes)), first + i});
    }
  }
  std::sort(index.entries_.begin(), index.entries_.end(), [](const Entry& a, const Entry& b) {
    return a.hash != b.hash ? a.hash < b.hash : a.row < b.row;
  });
  return index;
}

std::optional<uint64_t> RowIndex::Find(std::span<const std::byte> row, uint64_t preferred) const {
  const uint64_t hash = HashRow(row);
  auto entry = std::lower_bound(entries_.begin(), entries_.end(), hash,
                                [](const Entry& e, uint64_t h) { return e.hash < h; });
  if (entry == entries_.end() || entry->hash != hash) return std::nullopt;
  const uint64_t first = entry->row;
  for (; entry != entries_.end() && entry->hash == hash; ++entry) {
    if (entry->row == preferred) return preferred;
  }
  return first;
}

}  // namespace gguf_shard
