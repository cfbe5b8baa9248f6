#include "forge/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "core/bytes.h"
#include "core/core_file.h"
#include "forge/layout_choice.h"
#include "forge/tensor_role.h"

namespace gguf_shard {
namespace {

constexpr std::string_view kReservedPrefix = "gguf_shard.";
constexpr size_t kMaxLabelBytes = 255;
// For models with experts, measured: docs/STREAMING.md.
constexpr std::string_view kExpertCachePolicy = "frequency";

// Hands out page ranges one behind the other.
class PageAllocator {
 public:
  PageRange Take(uint64_t page_count) {
    const PageRange range{next_page_, page_count};
    next_page_ += page_count;
    return range;
  }
  uint64_t next_page() const { return next_page_; }

 private:
  uint64_t next_page_ = 0;
};

// A label for people, cut to a sane length between UTF-8 characters.
std::string Label(std::string_view text) {
  if (text.size() > kMaxLabelBytes) {
    size_t end = kMaxLabelBytes;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    text = text.substr(0, end);
  }
  return std::string(text);
}

std::string MetadataLabel(const GgufHeader& header, std::string_view key) {
  const auto value = header.GetString(key);
  return value ? Label(*value) : std::string();
}

// The type that holds most of the weights.
std::string MainQuantization(const GgufModel& model) {
  std::map<TensorType, uint64_t> weights;
  for (const auto& tensor : model.tensors) {
    weights[tensor.tensor->type] += tensor.tensor->element_count;
  }
  const auto most =
      std::max_element(weights.begin(), weights.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == weights.end() ? "none" : std::string(TensorTypeName(most->first));
}

Result<void> CheckIsShardable(const GgufModel& model) {
  const auto architecture = model.metadata().GetString("general.architecture");
  if (architecture && *architecture == kCoreArchitecture) {
    return Fail(Error(ErrorCode::kUnsupported, "the file is a core already")
                    .File(model.parts.front().path.string()));
  }
  for (const auto& tensor : model.tensors) {
    if (!tensor.tensor->name.starts_with(kReservedPrefix)) continue;
    return Fail(Error(ErrorCode::kUnsupported, "a tensor has a name that cores reserve")
                    .File(model.parts[tensor.part_index].path.string())
                    .Tensor(tensor.tensor->name));
  }
  return {};
}

std::vector<MapSourceFile> PlanSourceFiles(const GgufModel& model, PageAllocator& pages) {
  std::vector<MapSourceFile> files;
  for (const GgufPart& part : model.parts) {
    MapSourceFile file;
    file.name = part.path.filename().string();
    file.byte_size = part.file.size_bytes();
    file.header_bytes = part.header.data_offset;
    file.header = pages.Take(DivCeil(file.header_bytes, kPageContentBytes));
    files.push_back(std::move(file));
  }
  return files;
}

void PlanGaps(const std::vector<SourceGap>& gaps, PageAllocator& pages, MapSource& source) {
  for (const SourceGap& gap : gaps) {
    const PageRange range = pages.Take(DivCeil(gap.byte_size, kPageContentBytes));
    source.files[gap.source_file].gaps.push_back({gap.source_offset, gap.byte_size, range});
  }
}

// A tensor and its role, so that names are read once.
struct PlannedTensor {
  const GgufModelTensor* tensor;
  TensorRole role;
};

std::vector<PlannedTensor> InConsumptionOrder(const GgufModel& model) {
  std::vector<PlannedTensor> order;
  order.reserve(model.tensors.size());
  for (const auto& tensor : model.tensors) {
    order.push_back({&tensor, TensorRoleOf(tensor.tensor->name)});
  }
  std::stable_sort(order.begin(), order.end(), [](const PlannedTensor& a, const PlannedTensor& b) {
    return a.role.key < b.role.key;
  });
  return order;
}

Result<MapTensor> PlanTensor(const PlannedTensor& planned, const LayoutContext& context,
                             uint64_t file_bytes) {
  const GgufTensor& tensor = *planned.tensor->tensor;
  MapTensor entry;
  entry.name = tensor.name;
  entry.shape = tensor.shape;
  auto layout = ChooseLayout(tensor, planned.role, context);
  if (!layout) return Fail(std::move(layout.error()).Tensor(tensor.name));
  entry.layout = *layout;
  entry.zone = ChooseZone(tensor, planned.role, entry.layout);
  entry.layer = planned.role.layer;
  entry.source_file = static_cast<uint32_t>(planned.tensor->part_index);
  // An empty tensor's offset may lie in padding that the file's end cuts off.
  entry.source_offset = std::min(planned.tensor->file_offset, file_bytes);
  entry.source_bytes = tensor.byte_size;
  return entry;
}

Result<std::vector<MapTensor>> PlanTensors(const GgufModel& model, LayoutPolicy policy,
                                           PageAllocator& pages) {
  const LayoutContext context = LayoutContextOf(model, policy);
  std::vector<MapTensor> tensors;
  tensors.reserve(model.tensors.size());
  uint64_t next_shard_id = 0;
  for (const PlannedTensor& planned : InConsumptionOrder(model)) {
    const GgufPart& part = model.parts[planned.tensor->part_index];
    GS_ASSIGN(MapTensor entry, PlanTensor(planned, context, part.file.size_bytes()));
    entry.first_page = pages.Take(entry.layout.page_count).first_page;
    entry.first_shard_id = next_shard_id;
    next_shard_id += entry.layout.slice_count;
    tensors.push_back(std::move(entry));
  }
  return tensors;
}

// Whether there is something for a cache policy to decide: a dense model has nothing.
bool HasExperts(const CoreMap& map) {
  return std::ranges::any_of(map.tensors,
                             [](const MapTensor& tensor) { return tensor.layout.slice_count > 1; });
}

}  // namespace

Result<LayoutPolicy> LayoutPolicyFromName(std::string_view name) {
  if (name == "auto") return LayoutPolicy::kAuto;
  if (name == "column_major") return LayoutPolicy::kColumnMajor;
  if (name == "row_major") return LayoutPolicy::kRowMajor;
  return Fail(Error(ErrorCode::kInvalidArgument, "unknown layout")
                  .Expected("auto, column_major or row_major")
                  .Found(std::string(name)));
}

Result<CoreMap> PlanCore(const GgufModel& model, const std::vector<SourceGap>& gaps,
                         const PlanOptions& options) {
  GS_TRY(CheckIsShardable(model));
  PageAllocator pages;
  CoreMap map;
  map.source.architecture = MetadataLabel(model.metadata(), "general.architecture");
  map.source.name = MetadataLabel(model.metadata(), "general.name");
  map.source.quantization = MainQuantization(model);
  map.source.files = PlanSourceFiles(model, pages);
  map.atlas.memory_layout = options.layout == LayoutPolicy::kRowMajor ? MemoryLayout::kRowMajor
                                                                      : MemoryLayout::kColumnMajor;
  map.atlas.prefetch_distance = options.prefetch_distance;
  GS_ASSIGN(map.tensors, PlanTensors(model, options.layout, pages));
  PlanGaps(gaps, pages, map.source);
  if (HasExperts(map)) map.atlas.cache_policy = kExpertCachePolicy;

  map.core.file = options.core_file_name;
  map.core.id = options.core_id;
  map.core.index = pages.Take(DivCeil(pages.next_page(), kCrcsPerIndexPage));
  map.core.page_count = pages.next_page();
  map.core.data_offset = SerializeCoreHeader(map).size();
  return map;
}

}  // namespace gguf_shard
