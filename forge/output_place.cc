#include "forge/output_place.h"

#include "core/edit_file.h"

namespace gguf_shard {

namespace fs = std::filesystem;

Result<OutputDirectory> OutputDirectory::Make(const fs::path& path) {
  OutputDirectory directory;
  GS_ASSIGN(directory.made_, MakeDirectories(path));
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return directory;
  return Fail(Error(ErrorCode::kInvalidArgument, "the output directory is not a directory")
                  .File(path.string()));
}

OutputDirectory::~OutputDirectory() { RemoveDirectories(made_); }

Result<void> RefuseExisting(std::span<const fs::path> outputs, Overwrite overwrite) {
  if (overwrite == Overwrite::kAllow) return {};
  for (const fs::path& output : outputs) {
    std::error_code ignored;
    if (fs::exists(fs::symlink_status(output, ignored))) {
      return Fail(Error(ErrorCode::kAlreadyExists, "the output exists already; --force replaces it")
                      .File(output.string()));
    }
  }
  return {};
}

Result<void> RefuseInputs(std::span<const fs::path> outputs, std::span<const fs::path> inputs) {
  for (const fs::path& output : outputs) {
    for (const fs::path& input : inputs) {
      std::error_code ignored;
      if (!fs::equivalent(output, input, ignored)) continue;
      return Fail(Error(ErrorCode::kInvalidArgument, "the output would replace an input")
                      .File(output.string()));
    }
  }
  return {};
}

}  // namespace gguf_shard
