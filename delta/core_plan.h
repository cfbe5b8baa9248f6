// Where the pages of a patched core lie.
//
// Everything that the target has in common with the base keeps its pages: a tensor of the same
// name, type and shape stays where it is, also when its content changes; so do the source headers
// and the gaps while their page counts stay the same. What is new goes to pages that became free,
// or behind the last one; pages that stay free are listed as unused. So unchanged pages keep their
// indices.
//
// Page tags hold the first 8 bytes of the core's id: the patched core keeps those of its base, so
// that unchanged pages keep their tags and can be shared, and its last 8 bytes are the target's
// content digest, so that it is not mistaken for its base.
// Thread-safety: pure functions; a plan is immutable.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/core_file.h"
#include "core/error.h"
#include "core/map.h"
#include "delta/patched_view.h"

namespace gguf_shard {

struct CorePlan {
  CoreMap map;                        // index_sha256 and digests of changed tensors still zero
  std::vector<uint32_t> view_tensor;  // by map tensor: its index in the target view
  // By map tensor: whether its pages lie at the same place in the base's core, with the same
  // layout.
  std::vector<bool> in_place;
};

Result<CorePlan> PlanPatchedCore(const CoreFile& base, const PatchedView& target,
                                 const Xxh128Digest& target_digest);

// One thing that owns pages, for whoever fills them.
struct PlannedUnit {
  uint32_t tensor;  // map tensor
  PackUnit unit;
  uint64_t first_page;  // in the core
};

// Fills pages of a patched core: content and tags. Thread-safe.
class PatchedPages {
 public:
  // All must outlive it.
  PatchedPages(const CoreFile& base, const ModelView& target, const CorePlan& plan)
      : base_(&base), target_(target), plan_(plan) {}
  // Without a base: nothing of the plan is in place, and unused pages have no content.
  PatchedPages(const ModelView& target, const CorePlan& plan) : target_(target), plan_(plan) {}

  // Whether a unit's pages are those of the base, bit for bit.
  bool IsUnchanged(const PlannedUnit& unit) const;
  // Fills a unit's pages.
  Result<void> Fill(const PlannedUnit& unit, std::span<std::byte> pages) const;
  // Any run of pages, except the index: from the base where they are unchanged.
  Result<void> Read(uint64_t first_page, std::span<std::byte> pages) const;
  // The pages of the source headers or gaps (plain bytes), sealed.
  Result<std::vector<std::byte>> FillHeader(uint32_t file_index) const;
  Result<std::vector<std::byte>> FillGap(uint32_t file_index, uint32_t gap_index) const;

  const CorePlan& plan() const { return plan_; }

 private:
  std::vector<std::byte> SealBytes(std::span<const std::byte> bytes, PageRange pages) const;
  Result<uint64_t> ReadTensorPages(uint32_t tensor, uint64_t page,
                                   std::span<std::byte> pages) const;
  Result<uint64_t> ReadOther(uint64_t page, std::span<std::byte> pages) const;

  const CoreFile* base_ = nullptr;
  const ModelView& target_;
  const CorePlan& plan_;
};

}  // namespace gguf_shard
