// Reading and writing patch files. A reader's functions may be called from many threads; a writer's
// AddFrame too, the rest is for one thread.
#pragma once

#include <filesystem>
#include <mutex>
#include <span>
#include <vector>

#include "core/error.h"
#include "core/file.h"
#include "delta/patch.h"

namespace gguf_shard {

class PatchReader {
 public:
  // Checks preamble and directory; reads no frames.
  static Result<PatchReader> Open(const std::filesystem::path& path);

  const Patch& patch() const { return patch_; }
  const std::filesystem::path& path() const { return file_.path(); }
  uint64_t file_bytes() const { return file_.size_bytes(); }
  // kChecksumMismatch names the frame.
  Result<std::vector<std::byte>> ReadPayload(uint32_t frame) const;

 private:
  PatchReader(File file, Patch patch) : file_(std::move(file)), patch_(std::move(patch)) {}

  File file_;
  Patch patch_;
};

class PatchWriter {
 public:
  static Result<PatchWriter> Create(const std::filesystem::path& path, Overwrite overwrite);

  // Writes the payload and fills in offset, size and CRC of frames[number] (grown as needed).
  Result<void> AddFrame(uint32_t number, PatchFrame frame, std::span<const std::byte> payload);
  // Writes directory and preamble, and gives the file its name. `patch.frames` is ignored. Returns
  // the size of the file.
  Result<uint64_t> Finish(Patch patch);

 private:
  explicit PatchWriter(OutputFile output)
      : output_(std::move(output)), mutex_(std::make_unique<std::mutex>()) {}

  OutputFile output_;
  std::unique_ptr<std::mutex> mutex_;
  uint64_t next_offset_ = kPreambleBytes;
  std::vector<PatchFrame> frames_;
};

}  // namespace gguf_shard
