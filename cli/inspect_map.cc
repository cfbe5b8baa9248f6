#include "cli/inspect_map.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/format.h"
#include "cli/inspect_totals.h"
#include "core/digest.h"

namespace gguf_shard {
namespace {

using Json = nlohmann::ordered_json;

std::string LayoutText(const TensorLayout& layout) {
  if (layout.layout == MemoryLayout::kRowMajor) return "row_major";
  return fmt::format("column_major {}x{}", layout.tile_rows, layout.tile_columns);
}

std::string CoreText(const CoreMap& map) {
  std::string text;
  text += fmt::format("core          {}\n", Printable(map.core.file));
  text += fmt::format("id            {}\n", CoreIdToHex(map.core.id));
  text += fmt::format("architecture  {}\n", Printable(map.source.architecture));
  text += fmt::format("name          {}\n", Printable(map.source.name));
  text += fmt::format("quantization  {}\n", Printable(map.source.quantization));
  text += fmt::format("pages         {} of {} bytes\n", map.core.page_count, kPageBytes);
  text += fmt::format("shards        {} of {} tensors\n", map.shard_count(), map.tensors.size());
  text += fmt::format("runtime       layout {}, cache {}, prefetch {} shards\n",
                      MemoryLayoutName(map.atlas.memory_layout), Printable(map.atlas.cache_policy),
                      map.atlas.prefetch_distance);
  return text;
}

std::string SourceText(const MapSource& source) {
  TextTable table({Align::kLeft, Align::kRight, Align::kRight, Align::kLeft});
  table.AddRow({"source file", "size", "gaps kept", "sha256"});
  for (const MapSourceFile& file : source.files) {
    table.AddRow({Printable(file.name), FormatBytes(file.byte_size),
                  std::to_string(file.gaps.size()), ToHex(file.sha256)});
  }
  return table.ToString();
}

Json SourceJson(const MapSource& source) {
  Json files = Json::array();
  for (const MapSourceFile& file : source.files) {
    files.push_back({{"name", file.name},
                     {"bytes", file.byte_size},
                     {"header_bytes", file.header_bytes},
                     {"gap_count", file.gaps.size()},
                     {"sha256", ToHex(file.sha256)}});
  }
  return {{"architecture", source.architecture},
          {"name", source.name},
          {"quantization", source.quantization},
          {"files", files}};
}

}  // namespace

std::string ShapeText(std::span<const uint64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

std::string MapTensorTable(const CoreMap& map) {
  TextTable table({Align::kLeft, Align::kLeft, Align::kLeft, Align::kLeft, Align::kLeft,
                   Align::kRight, Align::kRight, Align::kRight, Align::kRight});
  table.AddRow(
      {"tensor", "type", "shape", "layout", "zone", "experts", "first page", "pages", "overhead"});
  for (const MapTensor& tensor : map.tensors) {
    const uint64_t slices = tensor.layout.slice_count;
    table.AddRow({Printable(tensor.name), std::string(TensorTypeName(tensor.layout.type)),
                  ShapeText(tensor.shape), LayoutText(tensor.layout),
                  std::string(ZoneName(tensor.zone)), slices == 1 ? "" : std::to_string(slices),
                  std::to_string(tensor.first_page), std::to_string(tensor.layout.page_count),
                  OverheadPercent(tensor.source_bytes, tensor.layout.page_count * kPageBytes)});
  }
  return table.ToString();
}

std::string OverheadText(const CoreMap& map) {
  const CoreOverhead overhead = OverheadOf(map);
  TextTable table({Align::kLeft, Align::kRight, Align::kRight});
  const auto add = [&](const std::string& label, uint64_t bytes) {
    const double share =
        100 * static_cast<double>(bytes) / static_cast<double>(overhead.source_bytes);
    table.AddRow({label, std::to_string(bytes), fmt::format("{:.3f}%", share)});
  };
  table.AddRow({"overhead", "bytes", "of source"});
  add("page tags", overhead.tag_bytes);
  add("unused page content", overhead.padding_bytes);
  add("index", overhead.index_bytes);
  add("core header", overhead.core_header_bytes);
  table.AddRow({"source padding dropped", fmt::format("-{}", overhead.dropped_bytes), ""});
  table.AddRow({"total", fmt::format("{:+}", overhead.total_bytes()),
                OverheadPercent(overhead.source_bytes, overhead.core_bytes)});
  return table.ToString();
}

std::string MapText(const CoreMap& map) {
  return CoreText(map) + '\n' + SourceText(map.source) + '\n' +
         TotalsTable("type", TotalsByType(map)) + '\n' +
         TotalsTable("layout", TotalsByLayout(map)) + '\n' +
         TotalsTable("zone", TotalsByZone(map)) + '\n' + OverheadText(map) + '\n' +
         MapTensorTable(map);
}

Json MapTensorsJson(const CoreMap& map) {
  Json tensors = Json::array();
  for (const MapTensor& tensor : map.tensors) {
    Json entry{{"name", tensor.name},
               {"type", TensorTypeName(tensor.layout.type)},
               {"shape", tensor.shape},
               {"layout", MemoryLayoutName(tensor.layout.layout)}};
    if (tensor.layout.layout == MemoryLayout::kColumnMajor) {
      entry["tile_rows"] = tensor.layout.tile_rows;
      entry["tile_columns"] = tensor.layout.tile_columns;
    }
    entry["zone"] = ZoneName(tensor.zone);
    entry["expert_count"] = tensor.layout.slice_count;
    entry["first_shard"] = tensor.first_shard_id;
    entry["first_page"] = tensor.first_page;
    entry["page_count"] = tensor.layout.page_count;
    entry["source_bytes"] = tensor.source_bytes;
    tensors.push_back(entry);
  }
  return tensors;
}

Json OverheadJson(const CoreMap& map) {
  const CoreOverhead overhead = OverheadOf(map);
  return {{"source_bytes", overhead.source_bytes},
          {"core_bytes", overhead.core_bytes},
          {"tag_bytes", overhead.tag_bytes},
          {"padding_bytes", overhead.padding_bytes},
          {"index_bytes", overhead.index_bytes},
          {"core_header_bytes", overhead.core_header_bytes},
          {"dropped_source_padding_bytes", overhead.dropped_bytes},
          {"total_bytes", overhead.total_bytes()}};
}

Json MapJson(const CoreMap& map) {
  return {{"kind", "core"},
          {"core",
           {{"file", map.core.file},
            {"id", CoreIdToHex(map.core.id)},
            {"page_bytes", kPageBytes},
            {"page_count", map.core.page_count},
            {"shard_count", map.shard_count()}}},
          {"source", SourceJson(map.source)},
          {"types", TotalsJson(TotalsByType(map))},
          {"layouts", TotalsJson(TotalsByLayout(map))},
          {"zones", TotalsJson(TotalsByZone(map))},
          {"overhead", OverheadJson(map)},
          {"tensors", MapTensorsJson(map)}};
}

}  // namespace gguf_shard
