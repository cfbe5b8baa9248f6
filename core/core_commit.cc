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
  GS_TRY(WriteWholeFile(next, map_text, Overwrite::kAllow));
  auto committed = core.Commit();
  if (!committed) {
    static_cast<void>(RemoveDurably(next));
    return committed;
  }
  return RenameDurably(next, map_path);
}

}  // namespace gguf_shard
