// What checks do with copies of a core: make them, patch them, see whether they are intact.
// For one thread.
#pragma once

#include <filesystem>

#include "core/core_file.h"
#include "core/digest.h"
#include "core/error.h"
#include "core/progress.h"

namespace gguf_shard {

Result<Sha256Digest> DigestOf(const std::filesystem::path& file);
// Core and map under their own names in another folder, with room for twice as much beside them;
// returns the map's path.
Result<std::filesystem::path> CopyCore(const CoreFile& core, const std::filesystem::path& folder);
Result<void> PatchInPlace(const std::filesystem::path& map, const std::filesystem::path& patch,
                          Progress& progress);
// Every page, tensor and source file.
Result<bool> IsIntact(const std::filesystem::path& map, Progress& progress);

}  // namespace gguf_shard
