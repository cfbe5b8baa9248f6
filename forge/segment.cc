#include "forge/segment.h"

#include <fmt/format.h>

#include <algorithm>

#include "forge/plan.h"

namespace gguf_shard {
namespace {

Result<TensorLayout> PlainBytesLayout(uint64_t byte_size) {
  const uint64_t shape[] = {byte_size};
  return MakeTensorLayout(TensorType::kI8, shape, 1, MemoryLayout::kRowMajor, 0, 0);
}

Result<void> AddPlainBytes(SegmentKind kind, uint32_t source_file, uint64_t source_offset,
                           uint64_t byte_size, const PageRange& pages,
                           std::vector<Segment>& segments) {
  if (byte_size == 0) return {};
  Segment segment{kind, source_file, source_offset, byte_size};
  GS_ASSIGN(segment.layout, PlainBytesLayout(byte_size));
  segment.first_page = pages.first_page;
  segments.push_back(segment);
  return {};
}

Result<void> AddTensors(const CoreMap& map, std::vector<Segment>& segments) {
  for (size_t i = 0; i < map.tensors.size(); ++i) {
    const MapTensor& tensor = map.tensors[i];
    if (tensor.source_bytes == 0) continue;
    const bool column_major = tensor.layout.layout == MemoryLayout::kColumnMajor;
    const uint64_t unit_pages = column_major ? tensor.layout.pages_per_strip() : 1;
    if (unit_pages > kMaxUnitBytes / kPageBytes) {
      return Fail(Error(ErrorCode::kTooLarge, "a strip of a tensor is above the limit")
                      .Tensor(tensor.name)
                      .Expected(fmt::format("at most {} pages", kMaxUnitBytes / kPageBytes))
                      .Found(unit_pages));
    }
    segments.push_back({SegmentKind::kTensor, tensor.source_file, tensor.source_offset,
                        tensor.source_bytes, i, tensor.layout, tensor.first_page});
  }
  return {};
}

// Everything that has pages, in file order.
Result<std::vector<Segment>> SegmentsWithPages(const CoreMap& map) {
  std::vector<Segment> segments;
  for (uint32_t i = 0; i < map.source.files.size(); ++i) {
    const MapSourceFile& file = map.source.files[i];
    GS_TRY(AddPlainBytes(SegmentKind::kHeader, i, 0, file.header_bytes, file.header, segments));
    for (const MapGap& gap : file.gaps) {
      GS_TRY(AddPlainBytes(SegmentKind::kGap, i, gap.source_offset, gap.byte_size, gap.pages,
                           segments));
    }
  }
  GS_TRY(AddTensors(map, segments));
  std::sort(segments.begin(), segments.end(), [](const Segment& a, const Segment& b) {
    return std::pair(a.source_file, a.source_offset) < std::pair(b.source_file, b.source_offset);
  });
  return segments;
}

// A hostile map may promise petabytes of zeros: they would cost time, though no memory.
Result<void> CheckPadding(const std::vector<Segment>& segments) {
  uint64_t padding_bytes = 0;
  for (const Segment& segment : segments) {
    if (segment.kind == SegmentKind::kPadding) padding_bytes += segment.source_bytes;
  }
  if (padding_bytes <= kMaxPaddingBytes) return {};
  return Fail(Error(ErrorCode::kTooLarge, "the model consists of zero padding")
                  .Expected(fmt::format("at most {} bytes of padding", kMaxPaddingBytes))
                  .Found(padding_bytes));
}

}  // namespace

Result<std::vector<Segment>> SegmentsOf(const CoreMap& map) {
  GS_ASSIGN(const std::vector<Segment> with_pages, SegmentsWithPages(map));
  std::vector<Segment> segments;
  auto next = with_pages.begin();
  for (uint32_t i = 0; i < map.source.files.size(); ++i) {
    const MapSourceFile& file = map.source.files[i];
    uint64_t position = 0;
    const auto pad_to = [&](uint64_t offset) {
      if (offset == position) return;
      segments.push_back({SegmentKind::kPadding, i, position, offset - position});
    };
    for (; next != with_pages.end() && next->source_file == i; ++next) {
      if (next->source_offset < position || next->source_offset > file.byte_size ||
          next->source_bytes > file.byte_size - next->source_offset) {
        return Fail(Error(ErrorCode::kMalformed, "the parts of a source file overlap or leave it")
                        .File(file.name)
                        .Offset(next->source_offset)
                        .Expected(position));
      }
      pad_to(next->source_offset);
      segments.push_back(*next);
      position = next->source_offset + next->source_bytes;
    }
    pad_to(file.byte_size);
  }
  GS_TRY(CheckPadding(segments));
  return segments;
}

}  // namespace gguf_shard
