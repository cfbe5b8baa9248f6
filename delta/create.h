// Makes a patch: what changes a base model into a target model.
//
// Tensors are matched by name; one without a namesake is matched with an equal base tensor (a
// renamed one), else with an unmatched one of the same type and shape as its prediction. Thread-
// safety: the function uses threads of its own; call it from one thread.
#pragma once

#include <cstdint>
#include <filesystem>

#include "core/error.h"
#include "core/file.h"
#include "core/progress.h"
#include "delta/model_view.h"
#include "delta/patch.h"

namespace gguf_shard {

struct CreateOptions {
  DeltaLevel level = DeltaLevel::kDefault;
  // Tensors whose digests in both maps are equal are taken to be equal, without reading them.
  bool trust_digests = false;
  uint32_t thread_count = 0;  // 0: one per processor
  Overwrite overwrite = Overwrite::kRefuse;
};

struct CreateReport {
  uint64_t patch_bytes = 0;
  uint64_t target_bytes = 0;
  uint64_t kept_tensors = 0;
  uint64_t changed_tensors = 0;
  uint64_t added_tensors = 0;
  uint64_t deleted_tensors = 0;
};

Result<CreateReport> CreatePatch(const ModelView& base, const ModelView& target,
                                 const std::filesystem::path& patch_path,
                                 const CreateOptions& options, Progress& progress);

// `count`, or one thread per processor for 0.
uint32_t ThreadCountOr(uint32_t count);

}  // namespace gguf_shard
