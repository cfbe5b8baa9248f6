// What distinguishes a patched core from its base, page by page: the changed pages, filled and
// sealed, their CRCs, and the index and header that follow from them. Shared by writing a new core
// and by patching one in place. Thread-safety: call from one thread; it uses threads of its own.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/error.h"
#include "core/progress.h"
#include "delta/core_plan.h"

namespace gguf_shard {

// Receives runs of changed pages; offsets in the core file follow from the plan.
using PageSink = std::function<Result<void>(uint64_t first_page, std::span<const std::byte> pages)>;

// Fills every changed page (except the index) and hands it to `sink`, on the calling thread, tensor
// by tensor. Completes plan.map: digests of changed tensors and of the index. Returns the sealed
// index pages.
Result<std::vector<std::byte>> FillChangedPages(const CoreFile& base, const PatchedView& target,
                                                CorePlan& plan, uint32_t thread_count,
                                                Progress& progress, const PageSink& sink);

}  // namespace gguf_shard
