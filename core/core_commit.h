// Publishing a core and its map, two files, as one change: after a crash at any moment whoever
// opens the map finds the old pair (or nothing, where there was none) or the new pair.
//
//   1. the new map is written as <map>.next
//   2. the core gets its name            <- the moment at which the new pair takes over
//   3. <map>.next becomes <map>
//
// each step synced before the next. A map and a core that do not belong together refuse each other
// (core id, layout digest), so CoreFile::Open tells by itself which of <map> and <map>.next is the
// core's. Thread-safety: one caller per core.
#pragma once

#include <filesystem>
#include <string_view>

#include "core/error.h"
#include "core/file.h"
#include "core/map.h"

namespace gguf_shard {

std::filesystem::path NextMapPath(const std::filesystem::path& map_path);

// `core` is complete but for its name. Both files go to one folder.
Result<void> CommitCore(OutputFile& core, const std::filesystem::path& map_path,
                        std::string_view map_text, Overwrite overwrite);

// Ends a CommitCore that was interrupted: the map that is `map`, the core's, gets its name, and
// none is left beside it. Nothing to do is a success.
Result<void> FinishCommit(const std::filesystem::path& map_path, const CoreMap& map);

}  // namespace gguf_shard
