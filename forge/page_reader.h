// Reads pages of a core and checks each against its tag and against the index. What is wrong with a
// page is a PageFault, so that a verifier can list all of them; a page that fails is read once more
// first. Thread-safety: Read may be called from many threads at once.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/core_file.h"
#include "core/error.h"
#include "core/file.h"

namespace gguf_shard {

enum class PageFaultKind : uint8_t {
  kTag,         // magic or CRC wrong: damaged, or of another place or core
  kStale,       // a valid page, but not the one that the index lists: an old version
  kUnreadable,  // the disk refuses it
};
std::string_view PageFaultKindName(PageFaultKind kind);  // "bad_tag", "stale", "unreadable"

struct PageFault {
  uint64_t page_index = 0;
  PageFaultKind kind = PageFaultKind::kTag;
  std::string expected;
  std::string found;
};

class PageReader {
 public:
  // `core` must outlive the reader.
  static Result<PageReader> Open(const CoreFile& core);

  // Fills `target` (page-aligned, whole pages); returns what is wrong with them, in page order.
  // Index pages are checked against their tags only. Unreadable pages are filled with zeros.
  std::vector<PageFault> Read(uint64_t first_page, std::span<std::byte> target) const;

  // The two halves of Read, for those who read on one thread and check on another: Fetch returns
  // the pages that cannot be read, Check adds to them what is wrong with the others.
  std::vector<PageFault> Fetch(uint64_t first_page, std::span<std::byte> target) const;
  void Check(uint64_t first_page, std::span<std::byte> target,
             std::vector<PageFault>& faults) const;

  // The same, for those who cannot go on: the first fault as an error naming file, tensor and page.
  Result<void> ReadIntact(uint64_t first_page, std::span<std::byte> target) const;

 private:
  PageReader(const CoreFile& core, File index_file)
      : core_(&core), index_file_(std::move(index_file)) {}
  void ReadPageByPage(uint64_t first_page, std::span<std::byte> target,
                      std::vector<PageFault>& faults) const;
  void CheckTags(uint64_t first_page, std::span<std::byte> target,
                 std::vector<PageFault>& faults) const;
  void CheckIndex(uint64_t first_page, std::span<const std::byte> target,
                  std::vector<PageFault>& faults) const;

  const CoreFile* core_;
  File index_file_;  // through the page cache: entries are read a few at a time
};

}  // namespace gguf_shard
