#include "delta/recover.h"

#include <algorithm>

#include "core/core_commit.h"
#include "delta/in_place.h"
#include "delta/undo_journal.h"

namespace gguf_shard {
namespace {

// Page tags hold the first half of the id: patches keep it.
constexpr ptrdiff_t kLineageBytes = 8;

bool IsSameLineage(const CoreId& a, const CoreId& b) {
  return std::equal(a.begin(), a.begin() + kLineageBytes, b.begin());
}

// A core that was replaced by another one leaves its journal behind.
Result<bool> BelongsTo(const CorePlace& place) {
  GS_ASSIGN(const JournalCores journal, ReadJournalCores(place.journal()));
  const auto id = ReadCoreId(place.core_path);
  // A header that cannot be read was being written.
  return !id || IsSameLineage(*id, journal.before);
}

Result<void> CheckUndoBelongs(const CorePlace& place, uint32_t level) {
  const auto undo = UndoOf(place.core_path, level);
  GS_ASSIGN(const JournalCores journal, ReadJournalCores(undo));
  GS_ASSIGN(const CoreId id, ReadCoreId(place.core_path));
  if (id == journal.after) return {};
  return Fail(Error(ErrorCode::kMismatch, "the undo data belongs to another core")
                  .File(undo.string())
                  .Expected(CoreIdToHex(journal.after))
                  .Found(CoreIdToHex(id)));
}

}  // namespace

Result<bool> RollBackCore(const CorePlace& place, EditFile& locked) {
  if (!place.has_journal()) return false;
  GS_ASSIGN(const bool belongs, BelongsTo(place));
  if (belongs) {
    NoProgress silent;
    GS_TRY(RemoveDurably(place.map_path));
    GS_ASSIGN(const std::string map_text, RollBack(place.journal(), locked, silent));
    GS_TRY(WriteWholeFile(place.map_path, map_text, Overwrite::kAllow));
    GS_TRY(RemoveDurably(NextMapPath(place.map_path)));
  }
  GS_TRY(RemoveDurably(place.journal()));
  return belongs;
}

Result<bool> RecoverCore(const std::filesystem::path& path) {
  GS_ASSIGN(const CorePlace place, FindCore(path));
  if (!place.has_journal()) return false;
  GS_ASSIGN(EditFile locked, LockCore(place));
  return RollBackCore(place, locked);
}

Result<void> UndoInPlace(const std::filesystem::path& path, Progress& progress) {
  GS_ASSIGN(const CorePlace place, FindCore(path));
  const bool is_core = path != place.core_path || place.has_journal() || ReadCoreId(path);
  if (!is_core && UndoLevels(path) != 0) {
    return RenameDurably(UndoOf(path, UndoLevels(path)), path);
  }
  GS_ASSIGN(const bool recovered, RecoverCore(path));
  if (recovered) return {};
  const uint32_t level = UndoLevels(place.core_path);
  if (level == 0) {
    return Fail(
        Error(ErrorCode::kNotFound, "there is no in-place patch to undo").File(path.string()));
  }
  GS_ASSIGN(EditFile locked, LockCore(place));
  GS_TRY(CheckUndoBelongs(place, level));
  GS_TRY(RenameDurably(UndoOf(place.core_path, level), place.journal()));
  progress.Start("undoing", 0);
  GS_ASSIGN(const bool undone, RollBackCore(place, locked));
  progress.Finish();
  if (undone) return {};
  return Fail(ErrorCode::kIo, "the undo data disappeared");
}

}  // namespace gguf_shard
