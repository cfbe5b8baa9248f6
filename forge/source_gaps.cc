#include "forge/source_gaps.h"

#include <algorithm>
#include <array>

#include "core/cancel.h"

namespace gguf_shard {
namespace {

constexpr uint64_t kScanBytes = 64 << 10;

Result<bool> IsAllZero(const File& file, uint64_t offset, uint64_t byte_size) {
  std::vector<std::byte> buffer(std::min(kScanBytes, byte_size));
  while (byte_size > 0) {
    GS_TRY(CheckCancelled());
    const auto part = std::span(buffer).first(std::min<uint64_t>(buffer.size(), byte_size));
    GS_TRY(file.ReadAt(offset, part));
    if (std::any_of(part.begin(), part.end(), [](std::byte b) { return b != std::byte{0}; })) {
      return false;
    }
    offset += part.size();
    byte_size -= part.size();
  }
  return true;
}

// The tensors' extents in one file, ascending.
std::vector<SourceGap> TensorExtents(const GgufModel& model, uint32_t source_file) {
  std::vector<SourceGap> extents;
  for (const GgufModelTensor& tensor : model.tensors) {
    if (tensor.part_index != source_file || tensor.tensor->byte_size == 0) continue;
    extents.push_back({source_file, tensor.file_offset, tensor.tensor->byte_size});
  }
  std::sort(extents.begin(), extents.end(), [](const SourceGap& a, const SourceGap& b) {
    return a.source_offset < b.source_offset;
  });
  return extents;
}

}  // namespace

Result<std::vector<SourceGap>> FindSourceGaps(const GgufModel& model) {
  std::vector<SourceGap> gaps;
  for (uint32_t i = 0; i < model.parts.size(); ++i) {
    const GgufPart& part = model.parts[i];
    auto extents = TensorExtents(model, i);
    extents.push_back({i, part.file.size_bytes(), 0});  // closes the gap behind the last tensor
    uint64_t position = part.header.data_offset;
    for (const SourceGap& extent : extents) {
      const uint64_t gap_bytes = extent.source_offset - position;
      GS_ASSIGN(const bool zero, IsAllZero(part.file, position, gap_bytes));
      if (!zero) gaps.push_back({i, position, gap_bytes});
      position = extent.source_offset + extent.byte_size;
    }
  }
  return gaps;
}

}  // namespace gguf_shard
