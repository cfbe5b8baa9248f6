#include "delta/core_changes.h"

#include <algorithm>
#include <cstring>

#include "core/check.h"
#include "core/page_index.h"
#include "delta/create.h"
#include "delta/ordered_pipeline.h"

namespace gguf_shard {
namespace {

class ChangeFiller {
 public:
  ChangeFiller(const CoreFile& base, const PatchedView& target, CorePlan& plan,
               uint32_t thread_count, Progress& progress, const PageSink& sink)
      : base_(base),
        target_(target),
        plan_(plan),
        pages_(base, target, plan),
        thread_count_(ThreadCountOr(thread_count)),
        progress_(progress),
        sink_(sink) {}

  Result<std::vector<std::byte>> Run() {
    GS_ASSIGN(const PageIndex base_index, PageIndex::Load(base_));
    crcs_.assign(base_index.crcs().begin(), base_index.crcs().end());
    crcs_.resize(plan_.map.core.index.first_page);
    GS_TRY(FillSource());
    for (uint32_t i = 0; i < plan_.map.tensors.size(); ++i) GS_TRY(FillTensor(i));
    return MakeIndex();
  }

 private:
  Result<void> Emit(uint64_t first_page, std::span<const std::byte> pages) {
    for (uint64_t i = 0; i < pages.size() / kPageBytes; ++i) {
      GS_CHECK(first_page + i < crcs_.size());
      crcs_[first_page + i] = StoredPageCrc(PageAt(pages.data(), i));
    }
    return sink_(first_page, pages);
  }

  Result<void> FillSource() {
    const auto& files = plan_.map.source.files;
    for (uint32_t i = 0; i < files.size(); ++i) {
      GS_ASSIGN(const auto header, pages_.FillHeader(i));
      GS_TRY(Emit(files[i].header.first_page, header));
      for (uint32_t g = 0; g < files[i].gaps.size(); ++g) {
        GS_ASSIGN(const auto gap, pages_.FillGap(i, g));
        GS_TRY(Emit(files[i].gaps[g].pages.first_page, gap));
      }
    }
    return {};
  }

  // A changed unit's pages and source bytes.
  struct FilledUnit {
    std::vector<std::byte> pages;  // empty: unchanged
    std::vector<std::byte> source;
  };

  Result<FilledUnit> FillUnit(const PlannedUnit& unit) const {
    FilledUnit filled;
    filled.source.resize(unit.unit.source_bytes);
    GS_TRY(
        target_.ReadTensor(plan_.view_tensor[unit.tensor], unit.unit.source_offset, filled.source));
    if (pages_.IsUnchanged(unit)) return filled;
    filled.pages.resize(unit.unit.page_count * kPageBytes);
    PackPages(plan_.map.tensors[unit.tensor].layout, unit.unit, filled.source, filled.pages);
    for (uint64_t i = 0; i < unit.unit.page_count; ++i) {
      SealPage(plan_.map.core.id, unit.first_page + i, PageAt(filled.pages.data(), i));
    }
    return filled;
  }

  Result<void> FillTensor(uint32_t index) {
    MapTensor& tensor = plan_.map.tensors[index];
    if (plan_.in_place[index] &&
        target_.IsUnchanged(plan_.view_tensor[index], 0, tensor.source_bytes)) {
      progress_.Advance(tensor.source_bytes);
      return {};
    }
    const auto UnitAt = [&](uint64_t i) {
      PlannedUnit unit{index, GetPackUnit(tensor.layout, i), 0};
      unit.first_page = tensor.first_page + unit.unit.first_page;
      return unit;
    };
    const uint64_t unit_count = tensor.source_bytes == 0 ? 0 : PackUnitCount(tensor.layout);
    Xxh128Hasher hasher;
    OrderedPipeline<FilledUnit> pipeline(unit_count, thread_count_);
    GS_TRY(pipeline.Run([&](uint64_t i) { return FillUnit(UnitAt(i)); },
                        [&](uint64_t i, const FilledUnit& filled) -> Result<void> {
                          hasher.Update(filled.source);
                          progress_.Advance(filled.source.size());
                          if (filled.pages.empty()) return {};
                          return Emit(UnitAt(i).first_page, filled.pages);
                        }));
    tensor.digest = hasher.Finish();
    return {};
  }

  std::vector<std::byte> MakeIndex() {
    MapCore& core = plan_.map.core;
    std::vector<std::byte> pages = MakeIndexPages(core, crcs_);
    core.index_sha256 = Sha256(pages);
    return pages;
  }

  const CoreFile& base_;
  const PatchedView& target_;
  CorePlan& plan_;
  PatchedPages pages_;
  uint32_t thread_count_;
  Progress& progress_;
  const PageSink& sink_;
  std::vector<uint32_t> crcs_;
};

}  // namespace

Result<std::vector<std::byte>> FillChangedPages(const CoreFile& base, const PatchedView& target,
                                                CorePlan& plan, uint32_t thread_count,
                                                Progress& progress, const PageSink& sink) {
  return ChangeFiller(base, target, plan, thread_count, progress, sink).Run();
}

}  // namespace gguf_shard
