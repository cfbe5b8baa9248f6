#include <nlohmann/json.hpp>

#include "core/map.h"

namespace gguf_shard {
namespace {

using Json = nlohmann::ordered_json;

Json PagesJson(const PageRange& pages) {
  return {{"first_page", pages.first_page}, {"page_count", pages.page_count}};
}

Json CoreJson(const MapCore& core) {
  Json index = PagesJson(core.index);
  index["sha256"] = ToHex(core.index_sha256);
  Json json{{"file", core.file},
            {"id", CoreIdToHex(core.id)},
            {"page_bytes", kPageBytes},
            {"page_count", core.page_count},
            {"data_offset", core.data_offset},
            {"index", index}};
  for (const PageRange& range : core.unused) json["unused"].push_back(PagesJson(range));
  return json;
}

Json SourceFileJson(const MapSourceFile& file) {
  Json header{{"bytes", file.header_bytes}};
  header.update(PagesJson(file.header));
  Json gaps = Json::array();
  for (const MapGap& gap : file.gaps) {
    Json entry{{"source_offset", gap.source_offset}, {"bytes", gap.byte_size}};
    entry.update(PagesJson(gap.pages));
    gaps.push_back(entry);
  }
  return {{"name", file.name},
          {"bytes", file.byte_size},
          {"sha256", ToHex(file.sha256)},
          {"header", header},
          {"gaps", gaps}};
}

Json SourceJson(const MapSource& source) {
  Json files = Json::array();
  for (const auto& file : source.files) files.push_back(SourceFileJson(file));
  return {{"architecture", source.architecture},
          {"name", source.name},
          {"quantization", source.quantization},
          {"files", files}};
}

Json AtlasJson(const MapAtlasDefaults& atlas) {
  Json zones = Json::array();
  for (const Zone zone : atlas.priority_zones) zones.push_back(ZoneName(zone));
  return {{"memory_layout", MemoryLayoutName(atlas.memory_layout)},
          {"cache_policy", atlas.cache_policy},
          {"prefetch_distance", atlas.prefetch_distance},
          {"priority_zones", zones}};
}

Json TensorJson(const MapTensor& tensor) {
  Json shard{{"id", tensor.first_shard_id},
             {"tensor", tensor.name},
             {"type", TensorTypeName(tensor.layout.type)},
             {"shape", tensor.shape},
             {"layout", MemoryLayoutName(tensor.layout.layout)}};
  if (tensor.layout.layout == MemoryLayout::kColumnMajor) {
    shard["tile"] = {{"rows", tensor.layout.tile_rows}, {"columns", tensor.layout.tile_columns}};
  }
  if (tensor.layout.slice_count != 1) shard["expert_count"] = tensor.layout.slice_count;
  shard.update(PagesJson(tensor.pages()));
  shard["zone"] = ZoneName(tensor.zone);
  if (tensor.layer) shard["layer"] = *tensor.layer;
  shard["xxh3_128"] = ToHex(tensor.digest);
  shard["source"] = {{"file", tensor.source_file},
                     {"offset", tensor.source_offset},
                     {"bytes", tensor.source_bytes}};
  return shard;
}

}  // namespace

std::string SerializeMap(const CoreMap& map) {
  // One line per shard: readable, and a diff shows what changed.
  const auto replace = Json::error_handler_t::replace;  // names may hold invalid UTF-8
  const Json format{{"name", "gguf-shard map"}, {"version", kMapVersion}};
  std::string text = "{\n";
  text += "\"format\": " + format.dump() + ",\n";
  text += "\"core\": " + CoreJson(map.core).dump(-1, ' ', false, replace) + ",\n";
  text += "\"source\": " + SourceJson(map.source).dump(-1, ' ', false, replace) + ",\n";
  text += "\"atlas\": " + AtlasJson(map.atlas).dump(-1, ' ', false, replace) + ",\n";
  text += "\"shards\": [";
  for (size_t i = 0; i < map.tensors.size(); ++i) {
    text += i == 0 ? "\n" : ",\n";
    text += TensorJson(map.tensors[i]).dump(-1, ' ', false, replace);
  }
  text += "\n]\n}\n";
  return text;
}

}  // namespace gguf_shard
