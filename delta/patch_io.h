// Reading and writing patch files. A reader's functions may be called from many threads; a writer's
// AddFrame too, the rest is for one thread.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "core/error.h"
#include "core/file.h"
#include "core/write_around.h"
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

  // Writes the payload as frames[number] (grown as needed). Payloads lie in the file in the order
  // of `sequence` (0, 1, 2, ..., each once), whoever is ready first: the same models give the same
  // patch. One that comes early waits in memory.
  Result<void> AddFrame(uint32_t number, uint64_t sequence, PatchFrame frame,
                        std::vector<std::byte> payload);
  // Writes directory and preamble, and gives the file its name. `patch.frames` is ignored. Returns
  // the size of the file.
  Result<uint64_t> Finish(Patch patch);

 private:
  struct Early {
    uint32_t number;
    PatchFrame frame;
    std::vector<std::byte> payload;
  };

  explicit PatchWriter(OutputFile output)
      : output_(std::move(output)), mutex_(std::make_unique<std::mutex>()) {}

  Result<void> Append(std::span<const std::byte> bytes);
  Result<void> WriteStaged();

  OutputFile output_;
  std::unique_ptr<std::mutex> mutex_;
  // What comes before next_offset_ and is not written yet.
  BlockBuffer staging_;
  std::span<std::byte> staged_;
  size_t staged_bytes_ = 0;
  uint64_t next_offset_ = kPreambleBytes;
  uint64_t next_sequence_ = 0;
  std::map<uint64_t, Early> early_;
  std::vector<PatchFrame> frames_;
};

}  // namespace gguf_shard
