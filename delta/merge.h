// A chain of patches as one: base -> P1 -> P2 -> ... becomes base -> Pn, without writing the models
// between. Thread-safety: call from one thread.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "core/error.h"
#include "delta/create.h"
#include "delta/patched_view.h"

namespace gguf_shard {

// Patches laid over a base, each over the one before; the base must outlive it.
class PatchStack {
 public:
  // Opens the patches and checks that each one's base is what lies below it; `trust_digests` as for
  // CheckBase.
  static Result<PatchStack> Open(const ModelView& base,
                                 const std::vector<std::filesystem::path>& patches,
                                 bool trust_digests,
                                 uint64_t cache_bytes = PatchedView::kDefaultCacheBytes);

  const PatchedView& top() const { return *views_.back(); }
  const PatchReader& top_patch() const { return *readers_.back(); }
  size_t size() const { return views_.size(); }

 private:
  PatchStack() = default;

  std::vector<std::unique_ptr<PatchReader>> readers_;
  std::vector<std::unique_ptr<PatchedView>> views_;
};

Result<CreateReport> MergePatches(const ModelView& base,
                                  const std::vector<std::filesystem::path>& patches,
                                  const std::filesystem::path& output, const CreateOptions& options,
                                  Progress& progress);

}  // namespace gguf_shard
