#include "cli/patched_core.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "delta/core_plan.h"
#include "delta/merge.h"
#include "runtime/memory_plan.h"

namespace gguf_shard {
namespace {

// Decoded frames kept for each patch: a few, since runs are read in the order of the tensors.
constexpr uint64_t kFrameCacheBytes = uint64_t{12} << 20;
// A frame being decoded: its payload, base and target bytes, and the tables of its streams. Frames
// that create makes have a megabyte of target.
constexpr uint64_t kDecodingBytes = uint64_t{6} << 20;

bool SameCore(const CoreMap& one, const CoreMap& other) {
  return one.core.id == other.core.id && one.core.index_sha256 == other.core.index_sha256;
}

// By page of the patched core: whether it is the base's page of the same place.
std::vector<bool> UnchangedPages(const PatchedPages& pages) {
  const CoreMap& map = pages.plan().map;
  std::vector<bool> unchanged(map.core.page_count);
  for (uint32_t t = 0; t < map.tensors.size(); ++t) {
    const MapTensor& tensor = map.tensors[t];
    const uint64_t unit_count = tensor.source_bytes == 0 ? 0 : PackUnitCount(tensor.layout);
    for (uint64_t i = 0; i < unit_count; ++i) {
      PlannedUnit unit{t, GetPackUnit(tensor.layout, i), 0};
      unit.first_page = tensor.first_page + unit.unit.first_page;
      if (!pages.IsUnchanged(unit)) continue;
      const auto first = unchanged.begin() + static_cast<ptrdiff_t>(unit.first_page);
      std::fill_n(first, unit.unit.page_count, true);
    }
  }
  return unchanged;
}

// Everything that the pages of a variant come from.
class VariantPages final : public PageOverlay {
 public:
  static Result<std::shared_ptr<const VariantPages>> Open(
      const std::filesystem::path& map_path, const std::vector<std::filesystem::path>& patches) {
    GS_ASSIGN(CoreFile pages, CoreFile::Open(map_path, Caching::kDirect));
    GS_TRY(pages.LoadIndex());
    // What predicts changed pages is read in any sizes: through the page cache.
    GS_ASSIGN(CoreFile weights, CoreFile::Open(map_path));
    if (!SameCore(pages.map(), weights.map())) {
      return Fail(Error(ErrorCode::kMismatch, "the core changed while it was opened")
                      .File(map_path.string()));
    }
    weights.ShareIndexOf(pages);
    std::shared_ptr<VariantPages> variant(new VariantPages(std::move(pages), std::move(weights)));
    GS_ASSIGN(variant->base_, ViewCore(variant->weights_core_));
    GS_ASSIGN(PatchStack stack, PatchStack::Open(*variant->base_, patches, true, kFrameCacheBytes));
    variant->stack_ = std::make_unique<PatchStack>(std::move(stack));
    const PatchedView& top = variant->stack_->top();
    GS_ASSIGN(variant->plan_, PlanPatchedCore(variant->pages_core_, top,
                                              variant->stack_->top_patch().patch().target_digest));
    variant->patched_ = std::make_unique<PatchedPages>(variant->pages_core_, top, variant->plan_);
    variant->is_unchanged_ = UnchangedPages(*variant->patched_);
    return variant;
  }

  // Unchanged pages come unchecked: whoever asked checks their tags, and their listed CRCs.
  Result<void> ReadRaw(uint64_t first_page, std::span<std::byte> target) const override {
    while (!target.empty()) {
      const bool unchanged = IsUnchanged(first_page);
      uint64_t count = 1;
      while (count < target.size() / kPageBytes && IsUnchanged(first_page + count) == unchanged) {
        ++count;
      }
      const auto part = target.first(count * kPageBytes);
      GS_TRY(unchanged ? pages_core_.ReadRaw(first_page, part) : patched_->Read(first_page, part));
      first_page += count;
      target = target.subspan(count * kPageBytes);
    }
    return {};
  }

  std::optional<uint32_t> ListedCrc(uint64_t page_index) const override {
    return IsUnchanged(page_index) ? pages_core_.ListedCrc(page_index) : std::nullopt;
  }

  const CoreMap& map() const { return plan_.map; }

 private:
  VariantPages(CoreFile pages, CoreFile weights)
      : pages_core_(std::move(pages)), weights_core_(std::move(weights)) {}

  bool IsUnchanged(uint64_t page_index) const {
    return page_index < is_unchanged_.size() && is_unchanged_[page_index];
  }

  CoreFile pages_core_;
  CoreFile weights_core_;
  std::unique_ptr<ModelView> base_;
  std::unique_ptr<PatchStack> stack_;
  CorePlan plan_;
  std::unique_ptr<PatchedPages> patched_;
  std::vector<bool> is_unchanged_;  // by page: the base's own
};

}  // namespace

uint64_t PatchMemoryBytes(size_t patch_count) {
  return patch_count * (kFrameCacheBytes + kIoThreads * kDecodingBytes);
}

Result<CoreFile> OpenPatchedCore(const std::filesystem::path& map_path,
                                 const std::vector<std::filesystem::path>& patches) {
  GS_ASSIGN(const auto variant, VariantPages::Open(map_path, patches));
  GS_ASSIGN(CoreFile core, CoreFile::Open(map_path, Caching::kDirect));
  return CoreFile::WithOverlay(std::move(core), variant->map(), variant);
}

}  // namespace gguf_shard
