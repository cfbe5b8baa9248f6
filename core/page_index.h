// The CRC that every page of a core must have: its index, proven by the SHA-256 that the map holds.
// A page's own tag tells damage; only the index tells an old version of a page (a write that was
// lost) from the page that belongs there.
//
// 4 bytes of memory per page. Immutable; thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/map.h"

namespace gguf_shard {

class CoreFile;

class PageIndex {
 public:
  // Reads the index pages. kChecksumMismatch when they are damaged, or are not those of the map.
  static Result<PageIndex> Load(const CoreFile& core);

  // Nothing for pages that the index does not list: its own.
  std::optional<uint32_t> Crc(uint64_t page_index) const {
    if (page_index >= crcs_.size()) return std::nullopt;
    return crcs_[page_index];
  }
  // Of every page before the index.
  std::span<const uint32_t> crcs() const { return crcs_; }

 private:
  explicit PageIndex(std::vector<uint32_t> crcs) : crcs_(std::move(crcs)) {}

  std::vector<uint32_t> crcs_;
};

// The sealed pages of an index over these CRCs, one for every page before it.
std::vector<std::byte> MakeIndexPages(const MapCore& core, std::span<const uint32_t> crcs);

}  // namespace gguf_shard
