// Where pages come from: the seam between the atlas and storage. Sources stack (core file; a patch
// over a base; faults for tests). Bytes are raw: the atlas checks every tag on arrival, in one
// place. Thread-safety: Read may be called from many threads at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "core/core_file.h"
#include "core/error.h"

namespace gguf_shard {

// A file that io_uring can read on its own: opened for direct I/O, pages one after the other.
struct DirectFile {
  int descriptor;
  uint64_t first_page_offset;  // of page 0
};

class PageSource {
 public:
  virtual ~PageSource() = default;
  // Fills `target` (4096-byte aligned, a multiple of 4096 long) with pages from first_page on.
  virtual Result<void> Read(uint64_t first_page, std::span<std::byte> target) = 0;
  // For messages and statistics: "core.gguf, direct" or why it is not direct.
  virtual std::string Describe() const = 0;
  // The CRC that the page's tag must have besides being right, where that is known: what the atlas
  // checks on arrival too, so that an old version of a page is not taken for it.
  virtual std::optional<uint32_t> ListedCrc(uint64_t) const { return std::nullopt; }
  // Nothing when pages must come through Read: patches, buffered files, injected faults. A source
  // that gives its file still serves Read, for what has to be read again.
  virtual std::optional<DirectFile> direct_file() const { return std::nullopt; }
};

// Reads the core file; `core` must outlive it. Old versions of pages are told apart when the core's
// index is loaded. Direct when the core was opened so; otherwise what
// was read is dropped from the page cache at once, so that only the budget's pool holds weights.
std::unique_ptr<PageSource> MakeCorePageSource(const CoreFile& core);

}  // namespace gguf_shard
