// Unsharding: the source files again, bit for bit, from a core and its map.
//
// Every page is checked on the way, and the SHA-256 of every file is compared with the map's before
// any file gets its name: outputs appear complete and proven, or not at all.
// Thread-safety: functions of one thread; jobs with different outputs may run side by side.
#pragma once

#include <filesystem>
#include <vector>

#include "core/digest.h"
#include "core/error.h"
#include "core/file.h"
#include "core/progress.h"

namespace gguf_shard {

struct UnshardOptions {
  std::filesystem::path output_directory;  // empty: the map's own directory
  Overwrite overwrite = Overwrite::kRefuse;
};

struct UnshardedFile {
  std::filesystem::path path;
  uint64_t byte_size = 0;
  Sha256Digest sha256{};
};

struct UnshardReport {
  std::vector<UnshardedFile> files;
};

// `map_path` names the map, or the directory that holds core.sgmap.
Result<UnshardReport> UnshardModel(const std::filesystem::path& map_path,
                                   const UnshardOptions& options, Progress& progress);

}  // namespace gguf_shard
