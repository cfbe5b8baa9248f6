// A core with patches laid over it, without applying them. For one thread; the core that is made is
// as thread-safe as every other.
#pragma once

#include <filesystem>
#include <vector>

#include "core/core_file.h"
#include "core/error.h"

namespace gguf_shard {

// Opens the core of `map_path` and lays the patches over it, first to last. Unchanged pages are
// read from the core, past the page cache where the file system can; changed ones are decoded when
// they are asked for. The base is checked by the digests of its map: every page's tag is checked
// anyway.
Result<CoreFile> OpenPatchedCore(const std::filesystem::path& map_path,
                                 const std::vector<std::filesystem::path>& patches);

// What decoded frames of this many patches take at most while the core is used: those that are
// kept, and those being decoded.
uint64_t PatchMemoryBytes(size_t patch_count);

}  // namespace gguf_shard
