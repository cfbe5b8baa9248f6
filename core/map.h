// The map, `core.sgmap`: JSON that says where every tensor lies in a core and where it came from.
//
// Described by schemas/sgmap.schema.json and docs/FORMAT-MAP.md. ParseMap trusts nothing: every
// number is checked for range, page ranges lie inside the core and do not overlap, page counts
// equal what the layouts need, names are unique. Whether the map belongs to a core is checked by
// CoreFile (core/core_file.h). Thread-safety: plain data, immutable after parsing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/digest.h"
#include "core/error.h"
#include "core/page.h"
#include "core/tile.h"

namespace gguf_shard {

inline constexpr uint32_t kMapVersion = 1;
inline constexpr uint64_t kMaxMapBytes = uint64_t{256} << 20;
inline constexpr std::string_view kCoreFileName = "core.gguf";
inline constexpr std::string_view kMapFileName = "core.sgmap";

enum class Zone : uint8_t { kHigh, kNormal, kCold };
std::string_view ZoneName(Zone zone);  // "high", "normal", "cold"

struct PageRange {
  uint64_t first_page = 0;
  uint64_t page_count = 0;
  uint64_t end_page() const { return first_page + page_count; }
};

struct MapCore {
  std::string file;  // name only, beside the map
  CoreId id{};
  uint64_t page_count = 0;      // all pages, index included
  uint64_t data_offset = 0;     // byte offset of page 0 in the core file
  PageRange index;              // the last pages
  Sha256Digest index_sha256{};  // of the index pages' 4096-byte images
  // Pages that belong to nothing any more: left by a patch, so that all others keep their places.
  // Ascending; they keep valid tags.
  std::vector<PageRange> unused;
};

// Bytes of a source file that belong to no tensor and are not zero padding: kept verbatim.
struct MapGap {
  uint64_t source_offset = 0;  // in the file
  uint64_t byte_size = 0;
  PageRange pages;  // 4088 bytes to a page, in order
};

struct MapSourceFile {
  std::string name;  // file name, no directories
  uint64_t byte_size = 0;
  Sha256Digest sha256{};
  uint64_t header_bytes = 0;  // up to the data section, kept verbatim in `header`
  PageRange header;
  std::vector<MapGap> gaps;  // ascending
};

struct MapSource {
  std::string architecture;
  std::string name;
  std::string quantization;  // of most weights, for people
  std::vector<MapSourceFile> files;
};

struct MapAtlasDefaults {
  MemoryLayout memory_layout = MemoryLayout::kColumnMajor;
  std::string cache_policy = "lru";
  uint32_t prefetch_distance = 8;  // shards
  std::vector<Zone> priority_zones = {Zone::kHigh, Zone::kNormal, Zone::kCold};
};

struct MapTensor {
  std::string name;
  std::vector<uint64_t> shape;  // ne[0] first
  TensorLayout layout;          // type, memory layout, tile shape, slices, page counts
  uint64_t first_page = 0;      // in the core
  uint64_t first_shard_id = 0;  // slice s is shard first_shard_id + s
  Zone zone = Zone::kNormal;
  std::optional<uint32_t> layer;
  Xxh128Digest digest{};       // XXH3-128 of the source bytes
  uint32_t source_file = 0;    // index into MapSource::files
  uint64_t source_offset = 0;  // absolute, in that file
  uint64_t source_bytes = 0;

  PageRange pages() const { return {first_page, layout.page_count}; }
  PageRange slice_pages(uint64_t slice) const {
    return {first_page + slice * layout.pages_per_slice, layout.pages_per_slice};
  }
};

struct CoreMap {
  MapCore core;
  MapSource source;
  MapAtlasDefaults atlas;
  std::vector<MapTensor> tensors;  // in core (consumption) order; "shards" in the JSON

  const MapTensor* FindTensor(std::string_view name) const;
  uint64_t shard_count() const;
};

Result<CoreMap> ParseMap(std::string_view json);
// SHA-256 of everything in the map that decides which bytes a tensor or a source file gets
// (docs/FORMAT-CORE.md has the text that is hashed). The core holds it, so that a map that was
// changed by accident is found before a page is read; names for people, zones, layers and the
// atlas's defaults are free.
Sha256Digest LayoutDigest(const CoreMap& map);
std::string SerializeMap(const CoreMap& map);

}  // namespace gguf_shard
