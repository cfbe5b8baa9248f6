#include "cli/inspect_gguf.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/format.h"
#include "cli/inspect_map.h"
#include "cli/inspect_totals.h"

namespace gguf_shard {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kShownElements = 8;
constexpr size_t kShownCharacters = 72;

// An array with at most the elements that are shown.
GgufArray FirstElements(const GgufArray& array) {
  GgufArray head = array;
  const uint32_t element_bytes = GgufScalarBytes(array.element_type);
  if (element_bytes == 0) return head;  // strings have no fixed size
  head.count = std::min<uint64_t>(array.count, kShownElements);
  head.bytes = array.bytes.first(head.count * element_bytes);
  return head;
}

Json ElementsJson(const GgufArray& array) {
  const GgufArray head = FirstElements(array);
  Json elements = Json::array();
  if (const auto strings = head.Strings()) {
    for (size_t i = 0; i < std::min(strings->size(), kShownElements); ++i) {
      elements.push_back(std::string((*strings)[i]));
    }
  } else if (const auto ints = head.Ints()) {
    for (const int64_t value : *ints) elements.push_back(value);
  } else if (const auto floats = head.Floats()) {
    for (const float value : *floats) elements.push_back(value);
  }
  return elements;
}

std::string PartsTable(const GgufModel& model) {
  TextTable table(
      {Align::kLeft, Align::kRight, Align::kRight, Align::kRight, Align::kRight, Align::kRight});
  table.AddRow({"file", "size", "version", "alignment", "data offset", "tensors"});
  for (const GgufPart& part : model.parts) {
    table.AddRow({Printable(part.path.filename().string()), FormatBytes(part.file.size_bytes()),
                  std::to_string(part.header.version), std::to_string(part.header.alignment),
                  std::to_string(part.header.data_offset),
                  std::to_string(part.header.tensors.size())});
  }
  return table.ToString();
}

std::string MetadataTable(const GgufHeader& header) {
  TextTable table({Align::kLeft, Align::kLeft, Align::kLeft});
  table.AddRow({"metadata", "type", "value"});
  for (const auto& [key, value] : header.metadata) {
    table.AddRow({Printable(key, kShownCharacters), std::string(GgufValueTypeName(value.type())),
                  ValueText(value, kShownCharacters)});
  }
  return table.ToString();
}

std::string SourceTensorTable(const GgufModel& model) {
  TextTable table({Align::kLeft, Align::kLeft, Align::kLeft, Align::kRight, Align::kRight});
  table.AddRow({"tensor", "type", "shape", "bytes", "offset"});
  for (const GgufModelTensor& tensor : model.tensors) {
    table.AddRow({tensor.tensor->name, std::string(TensorTypeName(tensor.tensor->type)),
                  ShapeText(tensor.tensor->shape), std::to_string(tensor.tensor->byte_size),
                  std::to_string(tensor.file_offset)});
  }
  return table.ToString();
}

std::string PlanText(const CoreMap& plan) {
  return TotalsTable("type", TotalsByType(plan)) + '\n' +
         TotalsTable("layout (if sharded)", TotalsByLayout(plan)) + '\n' +
         TotalsTable("zone (if sharded)", TotalsByZone(plan)) + '\n' + OverheadText(plan) + '\n' +
         MapTensorTable(plan);
}

Json PartsJson(const GgufModel& model) {
  Json parts = Json::array();
  for (const GgufPart& part : model.parts) {
    parts.push_back({{"name", part.path.filename().string()},
                     {"bytes", part.file.size_bytes()},
                     {"version", part.header.version},
                     {"alignment", part.header.alignment},
                     {"data_offset", part.header.data_offset},
                     {"tensor_count", part.header.tensors.size()}});
  }
  return parts;
}

Json SourceTensorsJson(const GgufModel& model) {
  Json tensors = Json::array();
  for (const GgufModelTensor& tensor : model.tensors) {
    tensors.push_back({{"name", tensor.tensor->name},
                       {"type", TensorTypeName(tensor.tensor->type)},
                       {"shape", tensor.tensor->shape},
                       {"bytes", tensor.tensor->byte_size},
                       {"part", tensor.part_index},
                       {"offset", tensor.file_offset}});
  }
  return tensors;
}

}  // namespace

std::string ValueText(const GgufValue& value, size_t max_characters) {
  if (const auto array = value.AsArray()) {
    const std::string elements =
        ElementsJson(*array).dump(-1, ' ', false, Json::error_handler_t::replace);
    return fmt::format("{} x {}: {}", array->count, GgufValueTypeName(array->element_type),
                       Printable(elements, max_characters));
  }
  if (const auto text = value.AsString()) return Printable(*text, max_characters);
  return ValueJson(value).dump();
}

Json ValueJson(const GgufValue& value) {
  if (const auto array = value.AsArray()) {
    return {{"element_type", GgufValueTypeName(array->element_type)},
            {"count", array->count},
            {"first", ElementsJson(*array)}};
  }
  if (const auto text = value.AsString()) return std::string(*text);
  if (const auto flag = value.AsBool(); flag && value.type() == GgufValueType::kBool) return *flag;
  if (const auto number = value.AsInt()) return *number;
  if (const auto number = value.AsUint()) return *number;
  if (const auto number = value.AsFloat()) return *number;
  return nullptr;
}

std::string GgufText(const GgufModel& model, const std::optional<CoreMap>& plan) {
  return PartsTable(model) + '\n' + MetadataTable(model.metadata()) + '\n' +
         (plan ? PlanText(*plan) : SourceTensorTable(model));
}

Json GgufJson(const GgufModel& model, const std::optional<CoreMap>& plan) {
  Json metadata = Json::object();
  for (const auto& [key, value] : model.metadata().metadata) {
    metadata[std::string(key)] = ValueJson(value);
  }
  Json json{{"kind", "gguf"},
            {"files", PartsJson(model)},
            {"metadata", metadata},
            {"tensors", SourceTensorsJson(model)}};
  if (plan) {
    json["types"] = TotalsJson(TotalsByType(*plan));
    json["if_sharded"] = {{"page_count", plan->core.page_count},
                          {"layouts", TotalsJson(TotalsByLayout(*plan))},
                          {"zones", TotalsJson(TotalsByZone(*plan))},
                          {"overhead", OverheadJson(*plan)},
                          {"tensors", MapTensorsJson(*plan)}};
  }
  return json;
}

}  // namespace gguf_shard
