#include "core/core_commit.h"

#include "core/edit_file.h"

namespace gguf_shard {

std::filesystem::path NextMapPath(const std::filesystem::path& map_path) {
  auto path = map_path;
  path += ".next";
  return path;
}

Result<void> CommitCore(OutputFile& core, const std::filesystem::path& map_path,
                        std::string_view map_text, Overwrite overwrite) {
  std::error_code ignored;
  if (overwrite == Overwrite::kRefuse && std::filesystem::exists(map_path, ignored)) {
    return Fail(
        Error(ErrorCode::kAlreadyExists, "the output exists already").File(map_path.string()));
  }
  const std::filesystem::path next = NextMapPath(map_path);
  const bool replaces_core = std::filesystem::exists(core.path(), ignored);
  GS_TRY(WriteWholeFile(next, map_text, Overwrite::kAllow));
  auto committed = core.Commit();
  if (!committed) {
    static_cast<void>(RemoveDurably(next));
    return committed;
  }
  auto named = RenameDurably(next, map_path);
  if (!named && !replaces_core) {
    static_cast<void>(RemoveDurably(core.path()));
    static_cast<void>(RemoveDurably(next));
  }
  return named;
}

Result<void> FinishCommit(const std::filesystem::path& map_path, const CoreMap& map) {
  const std::filesystem::path next = NextMapPath(map_path);
  std::error_code ignored;
  if (!std::filesystem::exists(next, ignored)) return {};
  const auto text = ReadWholeFile(map_path, kMaxMapBytes);
  const auto named = text ? ParseMap(*text) : Fail(text.error());
  const bool is_current =
      named && named->core.id == map.core.id && LayoutDigest(*named) == LayoutDigest(map);
  return is_current ? RemoveDurably(next) : RenameDurably(next, map_path);
}

}  // namespace gguf_shard
