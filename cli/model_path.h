// What a path on the command line names: a map (or its directory) or a GGUF, a model's metadata
// from either, and cores that an interrupted patch left. Thread-safety: no shared state.
#pragma once

#include <filesystem>

#include "core/error.h"
#include "core/gguf.h"

namespace gguf_shard {

// Maps are JSON objects, GGUF files begin with their magic: the name decides only for an empty
// file.
Result<bool> IsMapPath(const std::filesystem::path& path);

// Before anything is opened: if a patch of this core in place was interrupted, the core becomes its
// base again, and stderr says so. kIo while another process is patching it.
Result<void> RecoverModel(const std::filesystem::path& path);

// Whether a GGUF is a core: its tensors are pages.
bool IsCore(const GgufHeader& header);

// The metadata of the model: from the source header kept in the core when `path` is a map, its
// directory or a core with its map beside it; from the file itself when it is a GGUF.
Result<GgufHeader> ReadModelMetadata(const std::filesystem::path& path);

}  // namespace gguf_shard
