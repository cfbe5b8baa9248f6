// Applies a patch: writes the target, as source files or as a core.
//
// Outputs appear complete or not at all, and only after the SHA-256 of every source file that they
// hold was found to be the one in the patch. Each function uses threads of its own; call it from
// one thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "core/core_file.h"
#include "core/error.h"
#include "core/file.h"
#include "core/progress.h"
#include "delta/patched_view.h"

namespace gguf_shard {

struct ApplyOptions {
  uint32_t thread_count = 0;  // 0: one per processor
  Overwrite overwrite = Overwrite::kRefuse;
};

struct ApplyReport {
  std::vector<std::filesystem::path> files;
  uint64_t written_bytes = 0;  // not shared
  uint64_t shared_bytes = 0;   // by the file system, or copied by it
};

// Writes the target's source files. `output` names the file, or a directory (made when it is
// missing and the target has several files) that gets them under their own names.
Result<ApplyReport> ApplyToGguf(const PatchReader& patch, const PatchedView& target,
                                const std::filesystem::path& output, const ApplyOptions& options,
                                Progress& progress);

// Writes a core and its map into `directory`, under the names that the base's have. `core` is the
// base of `target`.
Result<ApplyReport> ApplyToCore(const PatchReader& patch, const PatchedView& target,
                                const CoreFile& core, const std::filesystem::path& directory,
                                const ApplyOptions& options, Progress& progress);

// kChecksumMismatch unless every file of the target has the patch's SHA-256.
Result<void> ProveTarget(const PatchReader& patch, const ModelView& target, uint32_t thread_count,
                         Progress& progress);

}  // namespace gguf_shard
