#include "forge/output_place.h"

#include <fmt/format.h>

#include <algorithm>

namespace gguf_shard {
namespace {

namespace fs = std::filesystem;

ErrorCode CodeOf(const std::error_code& error) {
  return error == std::errc::no_space_on_device ? ErrorCode::kNoSpace : ErrorCode::kIo;
}

// The missing levels of a path, outermost first.
std::vector<fs::path> MissingLevels(fs::path path) {
  std::vector<fs::path> missing;
  std::error_code ignored;
  while (!path.empty() && !fs::exists(path, ignored)) {
    missing.push_back(path);
    path = path.parent_path();
  }
  std::reverse(missing.begin(), missing.end());
  return missing;
}

}  // namespace

Result<OutputDirectory> OutputDirectory::Make(const fs::path& path) {
  OutputDirectory directory;
  for (const fs::path& level : MissingLevels(path.lexically_normal())) {
    std::error_code error;
    const bool made = fs::create_directory(level, error);
    if (error) {
      return Fail(
          Error(CodeOf(error), fmt::format("cannot make the output directory: {}", error.message()))
              .File(level.string()));
    }
    if (made) directory.made_.push_back(level);
  }
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return directory;
  return Fail(Error(ErrorCode::kInvalidArgument, "the output directory is not a directory")
                  .File(path.string()));
}

OutputDirectory::~OutputDirectory() {
  std::error_code ignored;
  std::for_each(made_.rbegin(), made_.rend(),
                [&ignored](const fs::path& level) { fs::remove(level, ignored); });
}

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
