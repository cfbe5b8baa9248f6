// Patching in place, and back.
//
// A core: the pages that will change are first saved in a journal beside it, `<core>.journal`; the
// map is removed while the core is neither base nor target; then pages are written, the new map
// appears, and the journal becomes the undo data, `<core>.undo-1` (`-2`, ... for patches on top).
// Whoever finds a journal rolls back to the base: RecoverCore, called by every command that opens a
// core. Undo makes the newest undo data the journal again and rolls back. Both refuse what belongs
// to another core. A lock on the core keeps two processes apart: it ends with the process that
// patches, so a journal whose core is not locked was left by one that was killed.
//
//   journal: "SGUNDO\0\0", u32 version, u32 CRC of the rest of the header; u64 old core bytes,
//   u64 map bytes, u64 record count, the id of the core afterwards, the map; then per record
//   u64 offset, u64 bytes, u32 CRC of these and of the bytes, u32 zero, the bytes. It gets its
//   name only when it is complete and synced.
//
// A GGUF is written beside the old one and replaces it in one step; the old one stays as
// `<file>.undo-1`. Thread-safety: one caller at a time per core.
#pragma once

#include <filesystem>

#include "core/error.h"
#include "core/progress.h"
#include "delta/apply.h"
#include "delta/patched_view.h"

namespace gguf_shard {

// `core` is the base of `target`; both must be dropped afterwards, the file has changed.
Result<ApplyReport> ApplyInPlace(const PatchReader& patch, const PatchedView& target,
                                 const CoreFile& core, const ApplyOptions& options,
                                 Progress& progress);
// `path`: the single GGUF that is the base of `target`.
Result<ApplyReport> ApplyGgufInPlace(const PatchReader& patch, const PatchedView& target,
                                     const std::filesystem::path& path, const ApplyOptions& options,
                                     Progress& progress);

// Ends what an interrupted in-place apply or undo began: the core is then its base. True when there
// was something to do; kIo while another process is patching. `path` as for CoreFile::Open, or the
// core; a GGUF needs nothing.
Result<bool> RecoverCore(const std::filesystem::path& path);

// Returns to the state before the last in-place patch. kNotFound when there is none.
Result<void> UndoInPlace(const std::filesystem::path& path, Progress& progress);

}  // namespace gguf_shard
