#include "delta/core_plan.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>

#include "core/bytes.h"

namespace gguf_shard {
namespace {

// The pages before the index that nobody owns; hands out the first that fit.
class FreePages {
 public:
  explicit FreePages(uint64_t page_count) : end_page_(page_count) {
    free_.push_back({0, page_count});
  }

  // Takes a range away that is known to be free.
  void Claim(PageRange range) {
    if (range.page_count == 0) return;
    for (size_t i = 0; i < free_.size(); ++i) {
      const PageRange hole = free_[i];
      if (range.first_page < hole.first_page || range.end_page() > hole.end_page()) continue;
      free_.erase(free_.begin() + static_cast<ptrdiff_t>(i));
      const PageRange before{hole.first_page, range.first_page - hole.first_page};
      const PageRange behind{range.end_page(), hole.end_page() - range.end_page()};
      if (behind.page_count != 0) free_.insert(free_.begin() + static_cast<ptrdiff_t>(i), behind);
      if (before.page_count != 0) free_.insert(free_.begin() + static_cast<ptrdiff_t>(i), before);
      return;
    }
  }

  uint64_t Take(uint64_t page_count) {
    for (const PageRange& hole : free_) {
      if (hole.page_count < page_count || page_count == 0) continue;
      const uint64_t first = hole.first_page;
      Claim({first, page_count});
      return first;
    }
    // A hole at the very end grows.
    uint64_t first = end_page_;
    if (!free_.empty() && free_.back().end_page() == end_page_ && page_count != 0) {
      first = free_.back().first_page;
      free_.pop_back();
    }
    end_page_ = std::max(end_page_, first + page_count);
    return first;
  }

  // The page behind the last that is owned; drops a hole at the end.
  uint64_t Trim() {
    if (!free_.empty() && free_.back().end_page() == end_page_) {
      end_page_ = free_.back().first_page;
      free_.pop_back();
    }
    return end_page_;
  }
  const std::vector<PageRange>& holes() const { return free_; }

 private:
  uint64_t end_page_;
  std::vector<PageRange> free_;  // ascending
};

uint64_t ContentPages(uint64_t bytes) { return DivCeil(bytes, kPageContentBytes); }

// The layout of a tensor that the base has not: that of a base tensor with the same type, columns
// and slices, else row_major.
Result<TensorLayout> LayoutForNew(const CoreMap& base, const ViewTensor& tensor) {
  for (const MapTensor& other : base.tensors) {
    if (other.layout.type != tensor.type || other.shape.size() != tensor.shape.size() ||
        tensor.shape.size() < 2 || other.shape[0] != tensor.shape[0] ||
        other.layout.layout != MemoryLayout::kColumnMajor) {
      continue;
    }
    const uint64_t slices = other.layout.slice_count == 1 ? 1 : tensor.shape.back();
    return MakeTensorLayout(tensor.type, tensor.shape, slices, MemoryLayout::kColumnMajor,
                            other.layout.tile_rows, other.layout.tile_columns);
  }
  return MakeTensorLayout(tensor.type, tensor.shape, 1, MemoryLayout::kRowMajor, 0, 0);
}

std::string MainType(const ModelView& view) {
  std::map<TensorType, uint64_t> bytes;
  for (const ViewTensor& tensor : view.tensors()) bytes[tensor.type] += tensor.byte_size;
  const auto most = std::max_element(
      bytes.begin(), bytes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == bytes.end() ? "" : std::string(TensorTypeName(most->first));
}

class Planner {
 public:
  Planner(const CoreFile& base, const PatchedView& target)
      : base_(base.map()), target_(target), free_(base_.core.index.first_page) {
    plan_.map.core = base_.core;
    plan_.map.core.unused.clear();
    plan_.map.atlas = base_.atlas;
  }

  Result<CorePlan> Plan(const Xxh128Digest& target_digest) {
    std::memcpy(plan_.map.core.id.data() + 8, target_digest.data(), 8);
    PlanSource();
    ClaimKept();
    PlaceHeaders();
    GS_TRY(PlaceTensors());
    PlaceGaps();
    MapCore& core = plan_.map.core;
    core.index.first_page = free_.Trim();
    core.index.page_count = DivCeil(core.index.first_page, kCrcsPerIndexPage);
    core.page_count = core.index.end_page();
    core.unused = free_.holes();
    core.data_offset = SerializeCoreHeader(plan_.map).size();
    return std::move(plan_);
  }

 private:
  void PlanSource() {
    MapSource& source = plan_.map.source;
    const GgufHeader& header = target_.files().front().header;
    source.architecture = header.GetString("general.architecture").value_or("");
    source.name = header.GetString("general.name").value_or("");
    source.quantization = MainType(target_);
    for (const ViewFile& file : target_.files()) {
      MapSourceFile entry;
      entry.name = file.name;
      entry.byte_size = file.byte_size;
      entry.sha256 = *file.sha256;
      entry.header_bytes = file.header.bytes().size();
      entry.header.page_count = ContentPages(entry.header_bytes);
      for (const ViewGap& gap : file.gaps) {
        entry.gaps.push_back({gap.offset, gap.byte_size, {0, ContentPages(gap.byte_size)}});
      }
      source.files.push_back(std::move(entry));
    }
  }

  static bool SameTensor(const MapTensor& a, const ViewTensor& b) {
    return a.layout.type == b.type && a.shape == b.shape;
  }

  // First everything that stays, so that nothing new takes its place.
  void ClaimKept() {
    const auto& files = plan_.map.source.files;
    headers_stay_ = files.size() == base_.source.files.size();
    gaps_stay_ = headers_stay_;
    for (size_t i = 0; i < files.size() && i < base_.source.files.size(); ++i) {
      const MapSourceFile& base_file = base_.source.files[i];
      headers_stay_ &= files[i].header.page_count == base_file.header.page_count;
      gaps_stay_ &= files[i].gaps.size() == base_file.gaps.size();
      for (size_t g = 0; g < files[i].gaps.size() && g < base_file.gaps.size(); ++g) {
        gaps_stay_ &= files[i].gaps[g].pages.page_count == base_file.gaps[g].pages.page_count;
      }
    }
    for (const MapSourceFile& file : base_.source.files) {
      if (headers_stay_) free_.Claim(file.header);
      for (const MapGap& gap : file.gaps) {
        if (gaps_stay_) free_.Claim(gap.pages);
      }
    }
    for (const MapTensor& tensor : base_.tensors) {
      const auto index = target_.FindTensor(tensor.name);
      if (index && SameTensor(tensor, target_.tensors()[*index])) free_.Claim(tensor.pages());
    }
  }

  void PlaceHeaders() {
    uint64_t page_count = 0;
    for (const auto& file : plan_.map.source.files) page_count += file.header.page_count;
    uint64_t first = headers_stay_ ? 0 : free_.Take(page_count);
    for (size_t i = 0; i < plan_.map.source.files.size(); ++i) {
      MapSourceFile& file = plan_.map.source.files[i];
      file.header.first_page = headers_stay_ ? base_.source.files[i].header.first_page : first;
      first += file.header.page_count;
    }
  }

  void PlaceGaps() {
    uint64_t page_count = 0;
    for (const auto& file : plan_.map.source.files) {
      for (const auto& gap : file.gaps) page_count += gap.pages.page_count;
    }
    uint64_t first = gaps_stay_ || page_count == 0 ? 0 : free_.Take(page_count);
    for (size_t i = 0; i < plan_.map.source.files.size(); ++i) {
      MapSourceFile& file = plan_.map.source.files[i];
      for (size_t g = 0; g < file.gaps.size(); ++g) {
        file.gaps[g].pages.first_page =
            gaps_stay_ ? base_.source.files[i].gaps[g].pages.first_page : first;
        first += file.gaps[g].pages.page_count;
      }
    }
  }

  // Tensors of the base in the base's order, then new ones in the order of the target's files.
  Result<void> PlaceTensors() {
    std::vector<bool> placed(target_.tensors().size(), false);
    for (const MapTensor& tensor : base_.tensors) {
      const auto index = target_.FindTensor(tensor.name);
      if (!index) continue;
      placed[*index] = true;
      if (SameTensor(tensor, target_.tensors()[*index])) {
        AddTensor(tensor, *index, true);
      } else {
        GS_TRY(AddNew(*index, &tensor));
      }
    }
    for (uint32_t i = 0; i < placed.size(); ++i) {
      if (!placed[i]) GS_TRY(AddNew(i, nullptr));
    }
    return {};
  }

  Result<void> AddNew(uint32_t index, const MapTensor* namesake) {
    const ViewTensor& tensor = target_.tensors()[index];
    MapTensor entry;
    entry.name = tensor.name;
    entry.shape = tensor.shape;
    if (namesake != nullptr) {
      entry.zone = namesake->zone;
      entry.layer = namesake->layer;
    }
    GS_ASSIGN(entry.layout, LayoutForNew(base_, tensor));
    entry.first_page = free_.Take(entry.layout.page_count);
    AddTensor(std::move(entry), index, false);
    return {};
  }

  void AddTensor(MapTensor entry, uint32_t index, bool in_place) {
    const ViewTensor& tensor = target_.tensors()[index];
    entry.source_file = tensor.file_index;
    entry.source_offset = tensor.offset;
    entry.source_bytes = tensor.byte_size;
    entry.first_shard_id = plan_.map.shard_count();
    if (!in_place || !target_.IsUnchanged(index, 0, tensor.byte_size)) entry.digest = {};
    plan_.map.tensors.push_back(std::move(entry));
    plan_.view_tensor.push_back(index);
    plan_.in_place.push_back(in_place);
  }

  const CoreMap& base_;
  const PatchedView& target_;
  FreePages free_;
  bool headers_stay_ = false;
  bool gaps_stay_ = false;
  CorePlan plan_;
};

}  // namespace

Result<CorePlan> PlanPatchedCore(const CoreFile& base, const PatchedView& target,
                                 const Xxh128Digest& target_digest) {
  return Planner(base, target).Plan(target_digest);
}

bool PatchedPages::IsUnchanged(const PlannedUnit& unit) const {
  return plan_.in_place[unit.tensor] &&
         target_.IsUnchanged(plan_.view_tensor[unit.tensor], unit.unit.source_offset,
                             unit.unit.source_bytes);
}

Result<void> PatchedPages::Fill(const PlannedUnit& unit, std::span<std::byte> pages) const {
  std::vector<std::byte> source(unit.unit.source_bytes);
  GS_TRY(target_.ReadTensor(plan_.view_tensor[unit.tensor], unit.unit.source_offset, source));
  PackPages(plan_.map.tensors[unit.tensor].layout, unit.unit, source, pages);
  for (uint64_t i = 0; i < unit.unit.page_count; ++i) {
    SealPage(plan_.map.core.id, unit.first_page + i, PageAt(pages.data(), i));
  }
  return {};
}

std::vector<std::byte> PatchedPages::SealBytes(std::span<const std::byte> bytes,
                                               PageRange pages) const {
  std::vector<std::byte> sealed(pages.page_count * kPageBytes);
  for (uint64_t i = 0; i < pages.page_count; ++i) {
    const auto content = bytes.subspan(i * kPageContentBytes);
    const size_t count = std::min<size_t>(content.size(), kPageContentBytes);
    std::memcpy(sealed.data() + i * kPageBytes, content.data(), count);
    SealPage(plan_.map.core.id, pages.first_page + i, PageAt(sealed.data(), i));
  }
  return sealed;
}

Result<std::vector<std::byte>> PatchedPages::FillHeader(uint32_t file_index) const {
  return SealBytes(target_.files()[file_index].header.bytes(),
                   plan_.map.source.files[file_index].header);
}

Result<std::vector<std::byte>> PatchedPages::FillGap(uint32_t file_index,
                                                     uint32_t gap_index) const {
  const ViewGap& gap = target_.files()[file_index].gaps[gap_index];
  std::vector<std::byte> bytes(gap.byte_size);
  GS_TRY(target_.ReadGap(file_index, gap, 0, bytes));
  return SealBytes(bytes, plan_.map.source.files[file_index].gaps[gap_index].pages);
}

// The pages of one unit from `page` (of the tensor) on; returns how many were filled.
Result<uint64_t> PatchedPages::ReadTensorPages(uint32_t tensor, uint64_t page,
                                               std::span<std::byte> pages) const {
  const MapTensor& entry = plan_.map.tensors[tensor];
  PlannedUnit unit{tensor, GetPackUnit(entry.layout, PackUnitOfPage(entry.layout, page)), 0};
  unit.first_page = entry.first_page + unit.unit.first_page;
  const uint64_t inside = page - unit.unit.first_page;
  const uint64_t count =
      std::min<uint64_t>(unit.unit.page_count - inside, pages.size() / kPageBytes);
  if (IsUnchanged(unit)) {
    GS_TRY(base_->ReadPages(entry.first_page + page, pages.first(count * kPageBytes)));
  } else if (count == unit.unit.page_count) {
    GS_TRY(Fill(unit, pages.first(count * kPageBytes)));
  } else {
    std::vector<std::byte> whole(unit.unit.page_count * kPageBytes);
    GS_TRY(Fill(unit, whole));
    std::memcpy(pages.data(), whole.data() + inside * kPageBytes, count * kPageBytes);
  }
  return count;
}

// Headers, gaps and unused pages, one page at a time.
Result<uint64_t> PatchedPages::ReadOther(uint64_t page, std::span<std::byte> pages) const {
  const auto CopyPage = [&](const std::vector<std::byte>& filled, PageRange range) {
    std::memcpy(pages.data(), filled.data() + (page - range.first_page) * kPageBytes, kPageBytes);
    return uint64_t{1};
  };
  const auto& files = plan_.map.source.files;
  const auto Holds = [page](PageRange range) {
    return page >= range.first_page && page < range.end_page();
  };
  for (uint32_t i = 0; i < files.size(); ++i) {
    if (Holds(files[i].header)) {
      GS_ASSIGN(const auto filled, FillHeader(i));
      return CopyPage(filled, files[i].header);
    }
    for (uint32_t g = 0; g < files[i].gaps.size(); ++g) {
      if (!Holds(files[i].gaps[g].pages)) continue;
      GS_ASSIGN(const auto filled, FillGap(i, g));
      return CopyPage(filled, files[i].gaps[g].pages);
    }
  }
  for (const PageRange& range : plan_.map.core.unused) {
    if (!Holds(range) || base_ == nullptr) continue;
    GS_TRY(base_->ReadRaw(page, pages.first(kPageBytes)));
    return uint64_t{1};
  }
  return Fail(Error(ErrorCode::kNotFound, "the page has no content before the patch is applied")
                  .Page(page));
}

Result<void> PatchedPages::Read(uint64_t first_page, std::span<std::byte> pages) const {
  while (!pages.empty()) {
    uint64_t count = 0;
    const auto& tensors = plan_.map.tensors;
    const auto owner = std::find_if(tensors.begin(), tensors.end(), [&](const MapTensor& tensor) {
      return first_page >= tensor.first_page && first_page < tensor.pages().end_page();
    });
    if (owner != tensors.end()) {
      GS_ASSIGN(count, ReadTensorPages(static_cast<uint32_t>(owner - tensors.begin()),
                                       first_page - owner->first_page, pages));
    } else {
      GS_ASSIGN(count, ReadOther(first_page, pages));
    }
    first_page += count;
    pages = pages.subspan(count * kPageBytes);
  }
  return {};
}

}  // namespace gguf_shard
