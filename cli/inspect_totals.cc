#include "cli/inspect_totals.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/format.h"
#include "forge/unpack.h"

namespace gguf_shard {
namespace {

template <typename LabelOf>
std::vector<GroupTotal> TotalsBy(const CoreMap& map, LabelOf label_of) {
  std::vector<GroupTotal> totals;
  for (const MapTensor& tensor : map.tensors) {
    const std::string label(label_of(tensor));
    auto group = std::find_if(totals.begin(), totals.end(),
                              [&label](const GroupTotal& total) { return total.label == label; });
    if (group == totals.end()) group = totals.insert(totals.end(), GroupTotal{label, 0, 0, 0});
    ++group->tensor_count;
    group->source_bytes += tensor.source_bytes;
    group->page_bytes += tensor.layout.page_count * kPageBytes;
  }
  return totals;
}

// Orders groups as `order` lists their labels.
void SortAs(std::initializer_list<std::string_view> order, std::vector<GroupTotal>& totals) {
  const auto rank = [order](const GroupTotal& total) {
    return std::find(order.begin(), order.end(), total.label) - order.begin();
  };
  std::sort(totals.begin(), totals.end(),
            [&rank](const GroupTotal& a, const GroupTotal& b) { return rank(a) < rank(b); });
}

}  // namespace

std::vector<GroupTotal> TotalsByType(const CoreMap& map) {
  auto totals =
      TotalsBy(map, [](const MapTensor& tensor) { return TensorTypeName(tensor.layout.type); });
  std::stable_sort(totals.begin(), totals.end(), [](const GroupTotal& a, const GroupTotal& b) {
    return a.source_bytes > b.source_bytes;
  });
  return totals;
}

std::vector<GroupTotal> TotalsByLayout(const CoreMap& map) {
  auto totals =
      TotalsBy(map, [](const MapTensor& tensor) { return MemoryLayoutName(tensor.layout.layout); });
  SortAs({"column_major", "row_major"}, totals);
  return totals;
}

std::vector<GroupTotal> TotalsByZone(const CoreMap& map) {
  auto totals = TotalsBy(map, [](const MapTensor& tensor) { return ZoneName(tensor.zone); });
  SortAs({"high", "normal", "cold"}, totals);
  return totals;
}

CoreOverhead OverheadOf(const CoreMap& map) {
  CoreOverhead overhead;
  const uint64_t all_pages = map.core.page_count;
  uint64_t kept_bytes = 0;
  for (const MapSourceFile& file : map.source.files) {
    kept_bytes += file.header_bytes;
    for (const MapGap& gap : file.gaps) kept_bytes += gap.byte_size;
  }
  for (const MapTensor& tensor : map.tensors) kept_bytes += tensor.source_bytes;
  overhead.source_bytes = SourceBytes(map);
  overhead.core_bytes = map.core.data_offset + all_pages * kPageBytes;
  overhead.core_header_bytes = map.core.data_offset;
  overhead.tag_bytes = all_pages * (kPageBytes - kPageContentBytes);
  overhead.index_bytes = map.core.index.page_count * kPageContentBytes;
  overhead.padding_bytes = (all_pages - map.core.index.page_count) * kPageContentBytes - kept_bytes;
  overhead.dropped_bytes = overhead.source_bytes - kept_bytes;
  return overhead;
}

std::string OverheadPercent(uint64_t source_bytes, uint64_t page_bytes) {
  if (source_bytes == 0) return "";
  const double ratio = static_cast<double>(page_bytes) / static_cast<double>(source_bytes);
  return fmt::format("{:+.2f}%", (ratio - 1) * 100);
}

std::string TotalsTable(const std::string& heading, const std::vector<GroupTotal>& totals) {
  TextTable table({Align::kLeft, Align::kRight, Align::kRight, Align::kRight, Align::kRight});
  table.AddRow({heading, "tensors", "source", "pages", "overhead"});
  for (const GroupTotal& total : totals) {
    table.AddRow({total.label, std::to_string(total.tensor_count), FormatBytes(total.source_bytes),
                  std::to_string(total.page_bytes / kPageBytes),
                  OverheadPercent(total.source_bytes, total.page_bytes)});
  }
  return table.ToString();
}

nlohmann::ordered_json TotalsJson(const std::vector<GroupTotal>& totals) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const GroupTotal& total : totals) {
    json[total.label] = {{"tensor_count", total.tensor_count},
                         {"source_bytes", total.source_bytes},
                         {"page_count", total.page_bytes / kPageBytes}};
  }
  return json;
}

}  // namespace gguf_shard
