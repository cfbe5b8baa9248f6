#include <fmt/format.h>

#include <iterator>

#include "core/map.h"

namespace gguf_shard {
namespace {

void AddFile(const MapSourceFile& file, std::string& text) {
  fmt::format_to(std::back_inserter(text), "file {} {} {} {} {} {}\n", file.byte_size,
                 ToHex(file.sha256), file.header_bytes, file.header.first_page,
                 file.header.page_count, file.name);
  for (const MapGap& gap : file.gaps) {
    fmt::format_to(std::back_inserter(text), "gap {} {} {} {}\n", gap.source_offset, gap.byte_size,
                   gap.pages.first_page, gap.pages.page_count);
  }
}

void AddTensor(const MapTensor& tensor, std::string& text) {
  const TensorLayout& layout = tensor.layout;
  fmt::format_to(std::back_inserter(text), "tensor {} {} {} {} {} {} {} {} {} {} {} {}\n",
                 GetTensorType(layout.type).name, fmt::join(tensor.shape, "x"),
                 MemoryLayoutName(layout.layout), layout.slice_count, layout.tile_rows,
                 layout.tile_columns, tensor.first_page, tensor.source_file, tensor.source_offset,
                 tensor.source_bytes, ToHex(tensor.digest), tensor.name);
}

}  // namespace

Sha256Digest LayoutDigest(const CoreMap& map) {
  std::string text = fmt::format("index {} {} {}\n", map.core.index.first_page,
                                 map.core.index.page_count, ToHex(map.core.index_sha256));
  for (const PageRange& range : map.core.unused) {
    fmt::format_to(std::back_inserter(text), "unused {} {}\n", range.first_page, range.page_count);
  }
  for (const MapSourceFile& file : map.source.files) AddFile(file, text);
  for (const MapTensor& tensor : map.tensors) AddTensor(tensor, text);
  return Sha256(std::as_bytes(std::span(text)));
}

}  // namespace gguf_shard
