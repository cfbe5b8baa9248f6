#include "forge/source_check.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

namespace gguf_shard {
namespace {

// A tensor in words; two tensors are the same when their words are.
std::string Describe(TensorType type, std::span<const uint64_t> shape, uint64_t offset,
                     uint64_t byte_size) {
  // The place of an empty tensor means nothing.
  if (byte_size == 0) offset = 0;
  return fmt::format("{} [{}], {} bytes at {}", TensorTypeName(type), fmt::join(shape, ", "),
                     byte_size, offset);
}

std::string DescribeMapTensor(const MapTensor& tensor) {
  return Describe(tensor.layout.type, tensor.shape, tensor.source_offset, tensor.source_bytes);
}

using TensorsByName = std::map<std::string_view, const MapTensor*>;

void CompareTensors(const GgufHeader& header, TensorsByName& remaining, VerifyReport& report) {
  for (const GgufTensor& tensor : header.tensors) {
    const auto description = Describe(tensor.type, tensor.shape,
                                      header.data_offset + tensor.data_offset, tensor.byte_size);
    const auto found = remaining.find(tensor.name);
    if (found == remaining.end()) {
      report.faults.push_back({"map", "the map lacks a tensor of the source header",
                               tensor.name + " " + description, "nothing"});
      continue;
    }
    const std::string in_map = DescribeMapTensor(*found->second);
    if (in_map != description) {
      report.faults.push_back({"tensor " + tensor.name,
                               "the map describes the tensor otherwise than the source header",
                               description, in_map});
    }
    remaining.erase(found);
  }
}

}  // namespace

PageOwners::PageOwners(const CoreMap& map) {
  for (const MapSourceFile& file : map.source.files) {
    owners_.push_back({file.header, kSourceHeaderTensor});
    for (const MapGap& gap : file.gaps) owners_.push_back({gap.pages, kGapsTensor});
  }
  for (const MapTensor& tensor : map.tensors) owners_.push_back({tensor.pages(), tensor.name});
  owners_.push_back({map.core.index, kIndexTensor});
  std::erase_if(owners_, [](const Owner& owner) { return owner.pages.page_count == 0; });
  std::sort(owners_.begin(), owners_.end(),
            [](const Owner& a, const Owner& b) { return a.pages.first_page < b.pages.first_page; });
}

std::string_view PageOwners::Find(uint64_t page_index) const {
  // The map was checked to cover every page, so the last owner that starts at or before it owns it.
  const auto behind = std::upper_bound(
      owners_.begin(), owners_.end(), page_index,
      [](uint64_t page, const Owner& owner) { return page < owner.pages.first_page; });
  return behind == owners_.begin() ? std::string_view("no tensor") : std::prev(behind)->name;
}

void CheckMapAgainstSource(const CoreFile& core, VerifyReport& report) {
  for (uint32_t i = 0; i < core.map().source.files.size(); ++i) {
    TensorsByName remaining;
    for (const MapTensor& tensor : core.map().tensors) {
      if (tensor.source_file == i) remaining.emplace(tensor.name, &tensor);
    }
    const std::string subject = "file " + core.map().source.files[i].name;
    const auto header = core.ReadSourceHeader(i);
    if (!header) {
      report.faults.push_back(
          {subject, "the source header in the core cannot be read", "", header.error().ToString()});
      continue;
    }
    CompareTensors(*header, remaining, report);
    for (const auto& [name, tensor] : remaining) {
      report.faults.push_back({"tensor " + std::string(name),
                               "the source header lacks a tensor of the map", "nothing",
                               DescribeMapTensor(*tensor)});
    }
  }
}

}  // namespace gguf_shard
