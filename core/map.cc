#include "core/map.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "core/bytes.h"
#include "core/gguf.h"
#include "core/json_view.h"

namespace gguf_shard {
namespace {

constexpr std::string_view kFormatName = "gguf-shard map";
constexpr uint64_t kMaxPages = uint64_t{1} << 40;
constexpr uint64_t kMaxSourceBytes = uint64_t{1} << 52;
constexpr uint64_t kMaxFiles = 65536;
constexpr uint64_t kMaxTensors = uint64_t{1} << 20;
constexpr uint64_t kMaxGaps = uint64_t{1} << 20;
constexpr uint64_t kMaxUnusedRanges = uint64_t{1} << 20;

// A name that stays in its directory: not empty, no separators, not "." or "..".
bool IsPlainFileName(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

Result<std::string> PlainFileName(const JsonView& object, std::string_view key) {
  GS_ASSIGN(std::string name, object.String(key, 255));
  if (!IsPlainFileName(name)) {
    return Fail(object.Malformed(key, "is not a plain file name").Found(name));
  }
  return name;
}

Result<PageRange> ReadPageRange(const JsonView& object, uint64_t page_count) {
  PageRange range;
  GS_ASSIGN(range.first_page, object.Uint("first_page", page_count));
  GS_ASSIGN(range.page_count, object.Uint("page_count", page_count - range.first_page));
  return range;
}

Result<Zone> ZoneFromName(const std::string& name) {
  for (const Zone zone : {Zone::kHigh, Zone::kNormal, Zone::kCold}) {
    if (ZoneName(zone) == name) return zone;
  }
  return Fail(Error(ErrorCode::kMalformed, "the zone is unknown").Found(name));
}

Result<MapCore> ReadCore(const JsonView& root) {
  GS_ASSIGN(const JsonView object, root.Object("core"));
  MapCore core;
  GS_ASSIGN(core.file, PlainFileName(object, "file"));
  GS_TRY(object.Hex("id", core.id));
  GS_ASSIGN(const uint64_t page_bytes, object.Uint("page_bytes"));
  if (page_bytes != kPageBytes) {
    return Fail(
        object.Malformed("page_bytes", "is not supported").Expected(kPageBytes).Found(page_bytes));
  }
  GS_ASSIGN(core.page_count, object.Uint("page_count", kMaxPages));
  GS_ASSIGN(core.data_offset, object.Uint("data_offset", kMaxSourceBytes));
  if (core.data_offset % kPageBytes != 0) {
    return Fail(object.Malformed("data_offset", "is not a multiple of the page size")
                    .Found(core.data_offset));
  }
  GS_ASSIGN(const JsonView index, object.Object("index"));
  GS_ASSIGN(core.index, ReadPageRange(index, core.page_count));
  GS_TRY(index.Hex("sha256", core.index_sha256));
  const uint64_t index_pages = DivCeil(core.index.first_page, kCrcsPerIndexPage);
  if (core.index.end_page() != core.page_count || core.index.page_count != index_pages) {
    return Fail(index.Malformed("page_count", "does not cover the pages before the index")
                    .Expected(index_pages)
                    .Found(core.index.page_count));
  }
  if (!object.Has("unused")) return core;
  GS_ASSIGN(const JsonView unused, object.Array("unused", kMaxUnusedRanges));
  for (size_t i = 0; i < unused.size(); ++i) {
    GS_ASSIGN(const PageRange range, ReadPageRange(unused[i], core.page_count));
    core.unused.push_back(range);
  }
  return core;
}

Result<MapGap> ReadGap(const JsonView& object, uint64_t page_count) {
  MapGap gap;
  GS_ASSIGN(gap.source_offset, object.Uint("source_offset", kMaxSourceBytes));
  GS_ASSIGN(gap.byte_size, object.Uint("bytes", kMaxSourceBytes));
  GS_ASSIGN(gap.pages, ReadPageRange(object, page_count));
  if (gap.pages.page_count != DivCeil(gap.byte_size, kPageContentBytes)) {
    return Fail(object.Malformed("page_count", "does not fit the gap's size"));
  }
  return gap;
}

Result<MapSourceFile> ReadSourceFile(const JsonView& object, uint64_t page_count) {
  MapSourceFile file;
  GS_ASSIGN(file.name, PlainFileName(object, "name"));
  GS_ASSIGN(file.byte_size, object.Uint("bytes", kMaxSourceBytes));
  GS_TRY(object.Hex("sha256", file.sha256));
  GS_ASSIGN(const JsonView header, object.Object("header"));
  GS_ASSIGN(file.header_bytes, header.Uint("bytes", std::min(file.byte_size, kMaxGgufHeaderBytes)));
  GS_ASSIGN(file.header, ReadPageRange(header, page_count));
  if (file.header.page_count != DivCeil(file.header_bytes, kPageContentBytes)) {
    return Fail(header.Malformed("page_count", "does not fit the header's size"));
  }
  GS_ASSIGN(const JsonView gaps, object.Array("gaps", kMaxGaps));
  uint64_t previous_end = file.header_bytes;
  for (size_t i = 0; i < gaps.size(); ++i) {
    GS_ASSIGN(const MapGap gap, ReadGap(gaps[i], page_count));
    if (gap.source_offset < previous_end || gap.byte_size > file.byte_size - gap.source_offset ||
        gap.source_offset > file.byte_size) {
      return Fail(gaps[i].Malformed("source_offset", "overlaps or leaves the file"));
    }
    previous_end = gap.source_offset + gap.byte_size;
    file.gaps.push_back(gap);
  }
  return file;
}

Result<MapSource> ReadSource(const JsonView& root, uint64_t page_count) {
  GS_ASSIGN(const JsonView object, root.Object("source"));
  MapSource source;
  GS_ASSIGN(source.architecture, object.String("architecture"));
  GS_ASSIGN(source.name, object.String("name", 65536));
  GS_ASSIGN(source.quantization, object.String("quantization"));
  GS_ASSIGN(const JsonView files, object.Array("files", kMaxFiles));
  if (files.size() == 0) return Fail(object.Malformed("files", "is empty"));
  std::unordered_set<std::string> names;
  for (size_t i = 0; i < files.size(); ++i) {
    GS_ASSIGN(MapSourceFile file, ReadSourceFile(files[i], page_count));
    if (!names.insert(file.name).second) {
      return Fail(files[i].Malformed("name", "appears twice").Found(file.name));
    }
    source.files.push_back(std::move(file));
  }
  return source;
}

Result<MapAtlasDefaults> ReadAtlas(const JsonView& root) {
  GS_ASSIGN(const JsonView object, root.Object("atlas"));
  MapAtlasDefaults atlas;
  GS_ASSIGN(const std::string layout, object.String("memory_layout"));
  GS_ASSIGN(atlas.memory_layout, MemoryLayoutFromName(layout));
  GS_ASSIGN(atlas.cache_policy, object.String("cache_policy", 64));
  GS_ASSIGN(const uint64_t distance, object.Uint("prefetch_distance", 65536));
  atlas.prefetch_distance = static_cast<uint32_t>(distance);
  GS_ASSIGN(const JsonView zones, object.Array("priority_zones", 3));
  atlas.priority_zones.clear();
  for (size_t i = 0; i < zones.size(); ++i) {
    GS_ASSIGN(const std::string name, zones[i].AsString(64));
    GS_ASSIGN(const Zone zone, ZoneFromName(name));
    atlas.priority_zones.push_back(zone);
  }
  return atlas;
}

Result<TensorLayout> ReadLayout(const JsonView& object, std::span<const uint64_t> shape) {
  GS_ASSIGN(const std::string type_name, object.String("type", 64));
  const TensorTypeInfo* type = FindTensorTypeByName(type_name);
  if (type == nullptr) return Fail(object.Malformed("type", "is unknown").Found(type_name));
  GS_ASSIGN(const std::string layout_name, object.String("layout", 64));
  GS_ASSIGN(const MemoryLayout memory_layout, MemoryLayoutFromName(layout_name));
  uint64_t slice_count = 1;
  if (object.Has("expert_count")) {
    GS_ASSIGN(slice_count, object.Uint("expert_count", uint64_t{1} << 32));
  }
  uint64_t tile_rows = 0;
  uint64_t tile_columns = 0;
  if (memory_layout == MemoryLayout::kColumnMajor) {
    GS_ASSIGN(const JsonView tile, object.Object("tile"));
    GS_ASSIGN(tile_rows, tile.Uint("rows", kMaxTileRows));
    GS_ASSIGN(tile_columns, tile.Uint("columns", 1 << 20));
  }
  return MakeTensorLayout(type->type, shape, slice_count, memory_layout,
                          static_cast<uint32_t>(tile_rows), static_cast<uint32_t>(tile_columns));
}

Result<void> ReadTensorPlaces(const JsonView& object, const CoreMap& map, MapTensor& tensor) {
  GS_ASSIGN(const PageRange pages, ReadPageRange(object, map.core.page_count));
  tensor.first_page = pages.first_page;
  if (pages.page_count != tensor.layout.page_count) {
    return Fail(object.Malformed("page_count", "is not what the layout needs")
                    .Tensor(tensor.name)
                    .Expected(tensor.layout.page_count)
                    .Found(pages.page_count));
  }
  GS_ASSIGN(const JsonView source, object.Object("source"));
  GS_ASSIGN(const uint64_t file, source.Uint("file", map.source.files.size() - 1));
  tensor.source_file = static_cast<uint32_t>(file);
  const uint64_t file_bytes = map.source.files[file].byte_size;
  GS_ASSIGN(tensor.source_offset, source.Uint("offset", file_bytes));
  GS_ASSIGN(tensor.source_bytes, source.Uint("bytes", file_bytes - tensor.source_offset));
  const uint64_t tensor_bytes = tensor.layout.slice_bytes * tensor.layout.slice_count;
  if (tensor.source_bytes != tensor_bytes) {
    return Fail(source.Malformed("bytes", "is not the size of the tensor")
                    .Tensor(tensor.name)
                    .Expected(tensor_bytes)
                    .Found(tensor.source_bytes));
  }
  return {};
}

Result<MapTensor> ReadTensor(const JsonView& object, const CoreMap& map) {
  MapTensor tensor;
  GS_ASSIGN(tensor.name, object.String("tensor", 255));
  GS_ASSIGN(const JsonView shape, object.Array("shape", 4));
  for (size_t i = 0; i < shape.size(); ++i) {
    GS_ASSIGN(const uint64_t dimension, shape[i].AsUint(kMaxSourceBytes));
    tensor.shape.push_back(dimension);
  }
  auto layout = ReadLayout(object, tensor.shape);
  if (!layout) return Fail(std::move(layout.error()).Tensor(tensor.name));
  tensor.layout = *layout;
  GS_TRY(ReadTensorPlaces(object, map, tensor));
  GS_ASSIGN(tensor.first_shard_id, object.Uint("id", uint64_t{1} << 40));
  GS_ASSIGN(const std::string zone, object.String("zone", 64));
  GS_ASSIGN(tensor.zone, ZoneFromName(zone));
  if (object.Has("layer")) {
    GS_ASSIGN(const uint64_t layer, object.Uint("layer", 1 << 20));
    tensor.layer = static_cast<uint32_t>(layer);
  }
  GS_TRY(object.Hex("xxh3_128", tensor.digest));
  return tensor;
}

// Everything that owns pages, in the order of pages, must cover [0, page_count) without overlap.
Result<void> CheckPagesAreCovered(const CoreMap& map) {
  std::vector<PageRange> ranges;
  for (const auto& file : map.source.files) {
    ranges.push_back(file.header);
    for (const auto& gap : file.gaps) ranges.push_back(gap.pages);
  }
  for (const auto& tensor : map.tensors) ranges.push_back(tensor.pages());
  ranges.push_back(map.core.index);
  ranges.insert(ranges.end(), map.core.unused.begin(), map.core.unused.end());
  std::erase_if(ranges, [](const PageRange& range) { return range.page_count == 0; });
  std::sort(ranges.begin(), ranges.end(),
            [](const PageRange& a, const PageRange& b) { return a.first_page < b.first_page; });
  uint64_t next_page = 0;
  for (const PageRange& range : ranges) {
    if (range.first_page != next_page) {
      return Fail(Error(ErrorCode::kMalformed, "the map's page ranges overlap or leave a hole")
                      .Page(range.first_page)
                      .Expected(next_page));
    }
    next_page = range.end_page();
  }
  if (next_page == map.core.page_count) return {};
  return Fail(Error(ErrorCode::kMalformed, "the map's page ranges do not add up to the page count")
                  .Expected(map.core.page_count)
                  .Found(next_page));
}

Result<void> CheckNamesAndShards(const CoreMap& map) {
  std::unordered_set<std::string_view> names;
  uint64_t next_shard_id = 0;
  for (const auto& tensor : map.tensors) {
    if (!names.insert(tensor.name).second) {
      return Fail(Error(ErrorCode::kMalformed, "a tensor appears twice").Tensor(tensor.name));
    }
    if (tensor.first_shard_id != next_shard_id) {
      return Fail(Error(ErrorCode::kMalformed, "shard ids do not follow each other")
                      .Tensor(tensor.name)
                      .Expected(next_shard_id)
                      .Found(tensor.first_shard_id));
    }
    next_shard_id += tensor.layout.slice_count;
  }
  return {};
}

}  // namespace

std::string_view ZoneName(Zone zone) {
  switch (zone) {
    case Zone::kHigh:
      return "high";
    case Zone::kNormal:
      return "normal";
    case Zone::kCold:
      return "cold";
  }
  return "unknown";
}

const MapTensor* CoreMap::FindTensor(std::string_view name) const {
  for (const auto& tensor : tensors) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

uint64_t CoreMap::shard_count() const {
  return tensors.empty() ? 0 : tensors.back().first_shard_id + tensors.back().layout.slice_count;
}

Result<CoreMap> ParseMap(std::string_view json) {
  GS_ASSIGN(const nlohmann::json document, ParseJson(json));
  const JsonView root(document, "");
  GS_ASSIGN(const JsonView format, root.Object("format"));
  GS_ASSIGN(const std::string format_name, format.String("name", 64));
  if (format_name != kFormatName) {
    return Fail(Error(ErrorCode::kMalformed, "not a gguf-shard map").Found(format_name));
  }
  GS_ASSIGN(const uint64_t version, format.Uint("version"));
  if (version != kMapVersion) {
    return Fail(Error(ErrorCode::kUnsupported, "the map's version is not supported")
                    .Expected(kMapVersion)
                    .Found(version));
  }
  CoreMap map;
  GS_ASSIGN(map.core, ReadCore(root));
  GS_ASSIGN(map.source, ReadSource(root, map.core.page_count));
  GS_ASSIGN(map.atlas, ReadAtlas(root));
  GS_ASSIGN(const JsonView shards, root.Array("shards", kMaxTensors));
  map.tensors.reserve(shards.size());
  for (size_t i = 0; i < shards.size(); ++i) {
    GS_ASSIGN(MapTensor tensor, ReadTensor(shards[i], map));
    map.tensors.push_back(std::move(tensor));
  }
  GS_TRY(CheckNamesAndShards(map));
  GS_TRY(CheckPagesAreCovered(map));
  return map;
}

}  // namespace gguf_shard
