// Where outputs go: directories that are made for the job and removed again when it fails, and the
// checks that no input is overwritten. Thread-safety: for one thread.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "core/error.h"
#include "core/file.h"

namespace gguf_shard {

// A directory that exists; the levels of it that had to be made are removed again, if empty, unless
// Keep() was called.
class OutputDirectory {
 public:
  static Result<OutputDirectory> Make(const std::filesystem::path& path);
  OutputDirectory(OutputDirectory&& other) noexcept : made_(std::move(other.made_)) {
    other.made_.clear();
  }
  OutputDirectory& operator=(OutputDirectory&&) = delete;
  ~OutputDirectory();
  void Keep() { made_.clear(); }

 private:
  OutputDirectory() = default;
  std::vector<std::filesystem::path> made_;  // outermost first
};

// kAlreadyExists when one of the outputs exists and may not be replaced.
Result<void> RefuseExisting(std::span<const std::filesystem::path> outputs, Overwrite overwrite);

// kInvalidArgument when an output is one of the inputs, whatever --force says.
Result<void> RefuseInputs(std::span<const std::filesystem::path> outputs,
                          std::span<const std::filesystem::path> inputs);

}  // namespace gguf_shard
