#include "cli/model_path.h"

#include <fmt/format.h>

#include <utility>

#include "core/core_file.h"
#include "core/file.h"
#include "core/gguf_model.h"
#include "delta/in_place.h"

namespace gguf_shard {
namespace {

namespace fs = std::filesystem;

Result<GgufHeader> ReadFromMap(const fs::path& path) {
  GS_ASSIGN(const CoreFile core, CoreFile::Open(path));
  return core.ReadSourceHeader();
}

}  // namespace

Result<void> RecoverModel(const fs::path& path) {
  GS_ASSIGN(const bool recovered, RecoverCore(path));
  if (recovered) {
    fmt::print(stderr, "{}: an interrupted in-place patch was rolled back\n", path.string());
  }
  return {};
}

bool IsCore(const GgufHeader& header) {
  const auto architecture = header.GetString("general.architecture");
  return architecture && *architecture == kCoreArchitecture;
}

Result<bool> IsMapPath(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return true;
  // Without its map a core may be in the middle of a patch: whoever opens it says so.
  if (path.extension() == ".sgmap" && !fs::exists(path, ignored)) return true;
  GS_ASSIGN(const File file, File::OpenRead(path));
  std::byte first{};
  if (file.size_bytes() == 0) return path.extension() == ".sgmap";
  GS_TRY(file.ReadAt(0, {&first, 1}));
  return first == std::byte{'{'} || path.extension() == ".sgmap";
}

Result<GgufHeader> ReadModelMetadata(const fs::path& path) {
  GS_TRY(RecoverModel(path));
  GS_ASSIGN(const bool is_map, IsMapPath(path));
  if (is_map) return ReadFromMap(path);
  GS_ASSIGN(GgufModel model, OpenGgufModel(path));
  GgufHeader& header = model.parts.front().header;
  if (IsCore(header)) return ReadFromMap(fs::path(path).replace_extension(".sgmap"));
  return std::move(header);
}

}  // namespace gguf_shard
