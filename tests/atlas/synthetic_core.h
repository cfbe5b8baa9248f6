// Writes a SyntheticModel as core.gguf and core.sgmap, for tests that need real files.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/core_file.h"
#include "core/digest.h"
#include "core/file.h"
#include "core/map.h"
#include "tests/atlas/synthetic_model.h"

namespace gguf_shard {

inline void WriteSyntheticCore(SyntheticModel model, const std::filesystem::path& directory) {
  CoreMap& map = model.map();
  const uint64_t header_pages = map.tensors.front().first_page;
  MapSourceFile source;
  source.name = "synthetic.gguf";
  source.header_bytes = header_pages * kPageContentBytes;
  source.header = {0, header_pages};
  source.byte_size = source.header_bytes;
  for (MapTensor& tensor : map.tensors) {
    tensor.source_offset = source.byte_size;
    source.byte_size += tensor.source_bytes;
    if (&tensor == &map.tensors.front()) continue;
    const MapTensor& previous = *(&tensor - 1);
    tensor.first_shard_id = previous.first_shard_id + previous.layout.slice_count;
  }
  map.source.files = {source};
  map.core.file = kCoreFileName;
  map.core.index = {model.page_count(), DivCeil(model.page_count(), kCrcsPerIndexPage)};
  map.core.page_count = map.core.index.end_page();
  map.core.data_offset = SerializeCoreHeader(map).size();

  std::vector<std::byte> pages(map.core.page_count * kPageBytes);
  const uint64_t index_page = map.core.index.first_page;
  for (uint64_t i = 0; i < index_page; ++i) {
    const auto page = PageAt(pages.data(), i);
    SyntheticModel::FillPage(i, page);
    const auto entry = PageAt(pages.data(), index_page + i / kCrcsPerIndexPage);
    StoreLe(entry.data() + i % kCrcsPerIndexPage * 4, StoredPageCrc(page));
  }
  for (uint64_t i = index_page; i < map.core.page_count; ++i) {
    SealPage(map.core.id, i, PageAt(pages.data(), i));
  }
  map.core.index_sha256 = Sha256(std::span(pages).subspan(index_page * kPageBytes));

  auto core = OutputFile::Create(directory / kCoreFileName, Overwrite::kRefuse);
  GS_CHECK(core.has_value());
  GS_CHECK(core->WriteAt(0, SerializeCoreHeader(map)).has_value());
  GS_CHECK(core->WriteAt(map.core.data_offset, pages).has_value());
  GS_CHECK(core->Commit().has_value());
  const auto written =
      WriteWholeFile(directory / kMapFileName, SerializeMap(map), Overwrite::kRefuse);
  GS_CHECK(written.has_value());
}

}  // namespace gguf_shard
