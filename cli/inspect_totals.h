// What `inspect` counts: bytes in the source and in pages, by type, layout and zone, and where the
// overhead of a core goes. Thread-safety: pure functions.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/map.h"

namespace gguf_shard {

struct GroupTotal {
  std::string label;
  uint64_t tensor_count = 0;
  uint64_t source_bytes = 0;
  uint64_t page_bytes = 0;
};

// Largest first (by source bytes) for types; in their own order for layouts and zones.
std::vector<GroupTotal> TotalsByType(const CoreMap& map);
std::vector<GroupTotal> TotalsByLayout(const CoreMap& map);
std::vector<GroupTotal> TotalsByZone(const CoreMap& map);

// Where the bytes of a core file go that are not bytes of the source.
struct CoreOverhead {
  uint64_t source_bytes = 0;
  uint64_t core_bytes = 0;         // the whole file
  uint64_t tag_bytes = 0;          // 8 per page
  uint64_t padding_bytes = 0;      // unused content: tile edges, ends of tensors and headers
  uint64_t index_bytes = 0;        // index pages, without their tags
  uint64_t core_header_bytes = 0;  // the GGUF header of the core
  uint64_t dropped_bytes = 0;      // zero padding of the source, which needs no pages

  int64_t total_bytes() const { return static_cast<int64_t>(core_bytes - source_bytes); }
};
CoreOverhead OverheadOf(const CoreMap& map);

// "+0.42%" of page bytes over source bytes; "" when there is no source.
std::string OverheadPercent(uint64_t source_bytes, uint64_t page_bytes);

std::string TotalsTable(const std::string& heading, const std::vector<GroupTotal>& totals);
nlohmann::ordered_json TotalsJson(const std::vector<GroupTotal>& totals);

}  // namespace gguf_shard
