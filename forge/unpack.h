// The way back, shared by reconstruction and verification: reads a core in the order of the source
// and turns pages into source bytes, batch by batch, with its digests. Thread-safety: see
// forge/pipeline.h; the callbacks are called as its stages are.
#pragma once

#include <functional>
#include <vector>

#include "core/core_file.h"
#include "core/error.h"
#include "core/progress.h"
#include "forge/pipeline.h"
#include "forge/segment.h"
#include "forge/source_hasher.h"

namespace gguf_shard {

struct UnpackHandlers {
  // Fills a piece's pages; from many threads.
  std::function<Result<void>(uint64_t first_page, std::span<std::byte> pages)> read_pages;
  // Looks at a piece's pages, on another thread than the one that read them; may be empty.
  std::function<void(uint64_t first_page, std::span<std::byte> pages)> check_pages;
  // Receives a batch's source bytes; from many threads, in any order.
  std::function<Result<void>(const Batch&, std::span<const std::byte> source)> take_source;
};

// Returns the digests of what was unpacked.
Result<SourceDigests> UnpackAll(const CoreMap& map, FileHashing file_hashing,
                                const UnpackHandlers& handlers, Progress& progress);

// Bytes of all source files.
uint64_t SourceBytes(const CoreMap& map);

}  // namespace gguf_shard
