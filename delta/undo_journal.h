// The journal of an in-place change: the old bytes of everything that will be overwritten. Format:
// delta/in_place.h. For one thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/file.h"
#include "core/progress.h"

namespace gguf_shard {

struct ByteRange {
  uint64_t offset = 0;
  uint64_t byte_size = 0;
};

// Saves `ranges` of the file (cut at its end) and the text of the map, durably, as `journal_path`.
Result<void> WriteJournal(const File& core, const std::string& map_text,
                          std::vector<ByteRange> ranges, const std::filesystem::path& journal_path);

// Writes everything back and returns the text of the map. May be repeated after a crash. Nothing is
// written unless all of the journal is intact.
Result<std::string> RollBack(const std::filesystem::path& journal_path,
                             const std::filesystem::path& core_path, Progress& progress);

}  // namespace gguf_shard
