// Where a core, its map, its journal and its undo data lie, and the lock of whoever changes them.
//
//   <core>.journal    old bytes while the core is neither base nor target
//   <core>.undo-1     (-2, ...) old bytes of patches that were applied in place
//   <core>.stage      never has that name: new pages while the base must stay readable
//
// A CorePlace holds no state of its own; LockedCore holds a lock on the core that other processes
// see and that ends with the process. Thread-safety: for one thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "core/edit_file.h"
#include "core/error.h"
#include "core/page.h"

namespace gguf_shard {

std::filesystem::path WithSuffix(const std::filesystem::path& path, const std::string& suffix);

// The undo data of a core or GGUF that was patched in place.
std::filesystem::path UndoOf(const std::filesystem::path& path, uint32_t level);
// How many in-place patches can be undone.
uint32_t UndoLevels(const std::filesystem::path& path);

struct CorePlace {
  std::filesystem::path map_path;
  std::filesystem::path core_path;

  std::filesystem::path journal() const { return WithSuffix(core_path, ".journal"); }
  bool has_journal() const;
};

// `path`: the map, its directory, or the core. Also while the map is away: the core then has the
// map's name with another ending.
Result<CorePlace> FindCore(const std::filesystem::path& path);

// The id that the core itself holds.
Result<CoreId> ReadCoreId(const std::filesystem::path& core_path);

// Opens the core for writing, for one process at a time: kIo when another one patches it.
Result<EditFile> LockCore(const CorePlace& place);

}  // namespace gguf_shard
