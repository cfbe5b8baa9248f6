#include "cli/patched_core.h"

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

// Everything that the pages of a variant come from.
class VariantPages final : public PageOverlay {
 public:
  static Result<std::shared_ptr<const VariantPages>> Open(
      const std::filesystem::path& map_path, const std::vector<std::filesystem::path>& patches) {
    GS_ASSIGN(CoreFile pages, CoreFile::Open(map_path, Caching::kDirect));
    GS_TRY(pages.LoadIndex());
    // What predicts changed pages is read in any sizes: through the page cache.
    GS_ASSIGN(CoreFile weights, CoreFile::Open(map_path));
    GS_TRY(weights.LoadIndex());
    std::shared_ptr<VariantPages> variant(new VariantPages(std::move(pages), std::move(weights)));
    GS_ASSIGN(variant->base_, ViewCore(variant->weights_core_));
    GS_ASSIGN(PatchStack stack, PatchStack::Open(*variant->base_, patches, true, kFrameCacheBytes));
    variant->stack_ = std::make_unique<PatchStack>(std::move(stack));
    const PatchedView& top = variant->stack_->top();
    GS_ASSIGN(variant->plan_, PlanPatchedCore(variant->pages_core_, top,
                                              variant->stack_->top_patch().patch().target_digest));
    variant->patched_ = std::make_unique<PatchedPages>(variant->pages_core_, top, variant->plan_);
    return variant;
  }

  Result<void> ReadRaw(uint64_t first_page, std::span<std::byte> target) const override {
    return patched_->Read(first_page, target);
  }

  const CoreMap& map() const { return plan_.map; }

 private:
  VariantPages(CoreFile pages, CoreFile weights)
      : pages_core_(std::move(pages)), weights_core_(std::move(weights)) {}

  CoreFile pages_core_;
  CoreFile weights_core_;
  std::unique_ptr<ModelView> base_;
  std::unique_ptr<PatchStack> stack_;
  CorePlan plan_;
  std::unique_ptr<PatchedPages> patched_;
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
