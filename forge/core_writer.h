// Writes a new core file: pages in any order, index, header. It appears with its map, under their
// names, with Commit(), or not at all.
//
// The CRCs of the pages go straight into the index area of the file, so that memory does not grow
// with the model. Thread-safety: WritePages may be called from many threads at once.
#pragma once

#include <filesystem>
#include <span>

#include "core/core_commit.h"
#include "core/digest.h"
#include "core/error.h"
#include "core/file.h"
#include "core/map.h"

namespace gguf_shard {

class CoreWriter {
 public:
  // Reserves the disk space of the whole core.
  static Result<CoreWriter> Create(const std::filesystem::path& path, Overwrite overwrite,
                                   const CoreMap& plan);

  // Seals the pages in place and writes them. `pages` is page-aligned, whole pages.
  Result<void> WritePages(uint64_t first_page, std::span<std::byte> pages);
  // After all pages: completes the index; returns its SHA-256.
  Result<Sha256Digest> FinishIndex();
  // Last: the header holds a digest of the finished map.
  Result<void> WriteHeader(const CoreMap& map);
  Result<void> Sync() { return output_.Sync(); }
  Result<void> Commit(const std::filesystem::path& map_path, std::string_view map_text,
                      Overwrite overwrite) {
    return CommitCore(output_, map_path, map_text, overwrite);
  }

 private:
  CoreWriter(OutputFile output, const MapCore& core) : output_(std::move(output)), core_(core) {}
  uint64_t PageOffset(uint64_t page) const { return core_.data_offset + page * kPageBytes; }
  Result<void> WriteCrcs(uint64_t first_page, std::span<const uint32_t> crcs);

  OutputFile output_;
  MapCore core_;
};

}  // namespace gguf_shard
