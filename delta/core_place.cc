#include "delta/core_place.h"

#include <fmt/format.h>

#include "core/core_commit.h"
#include "core/core_file.h"
#include "core/map.h"

namespace gguf_shard {
namespace {

constexpr uint32_t kMaxUndoLevels = 1000;

bool Exists(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

}  // namespace

std::filesystem::path WithSuffix(const std::filesystem::path& path, const std::string& suffix) {
  return path.parent_path() / (path.filename().string() + suffix);
}

std::filesystem::path UndoOf(const std::filesystem::path& path, uint32_t level) {
  return WithSuffix(path, fmt::format(".undo-{}", level));
}

uint32_t UndoLevels(const std::filesystem::path& path) {
  uint32_t level = 0;
  while (level < kMaxUndoLevels && Exists(UndoOf(path, level + 1))) ++level;
  return level;
}

bool CorePlace::has_journal() const { return Exists(journal()); }

Result<CorePlace> FindCore(const std::filesystem::path& path) {
  std::error_code ignored;
  const bool is_directory = std::filesystem::is_directory(path, ignored);
  const std::filesystem::path map_path = is_directory ? path / kMapFileName : path;
  if (!is_directory && path.extension() == ".gguf") {
    return CorePlace{std::filesystem::path(path).replace_extension(".sgmap"), path};
  }
  // A map that was never finished (core/core_commit.h) names the same core.
  for (const auto& text_path : {map_path, NextMapPath(map_path)}) {
    if (!Exists(text_path)) continue;
    GS_ASSIGN(const std::string text, ReadWholeFile(text_path, kMaxMapBytes));
    const auto map = ParseMap(text);
    if (map) return CorePlace{map_path, map_path.parent_path() / map->core.file};
  }
  return CorePlace{map_path, std::filesystem::path(map_path).replace_extension(".gguf")};
}

Result<CoreId> ReadCoreId(const std::filesystem::path& core_path) {
  GS_ASSIGN(const File file, File::OpenRead(core_path));
  GS_ASSIGN(const GgufHeader header, ReadGgufHeader(file));
  GS_ASSIGN(const std::string_view id, header.GetString(kKeyCoreId));
  return CoreIdFromHex(id);
}

Result<EditFile> LockCore(const CorePlace& place) {
  GS_ASSIGN(EditFile core, EditFile::Open(place.core_path));
  GS_ASSIGN(const bool locked, core.TryLock());
  if (locked) return core;
  return Fail(Error(ErrorCode::kIo,
                    "the core is being patched in place by another process: wait until it ends")
                  .File(place.core_path.string()));
}

}  // namespace gguf_shard
