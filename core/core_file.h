// An opened core: its map and its page file, checked to belong together.
//
// Open checks that core.gguf is a valid GGUF with our keys, that id, page size, page count and data
// offset equal the map's, that the map's layout has the digest that the core holds, that the file
// holds all pages, and that the core's tensor table equals the map's. It reads no pages.
// Thread-safety: ReadRaw and ReadPages may be called from many threads.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "core/error.h"
#include "core/file.h"
#include "core/gguf.h"
#include "core/map.h"

namespace gguf_shard {

class PageIndex;

// Keys and names in core.gguf.
inline constexpr std::string_view kCoreArchitecture = "gguf_shard";
inline constexpr std::string_view kKeyVersion = "gguf_shard.version";       // u32, kMapVersion
inline constexpr std::string_view kKeyCoreId = "gguf_shard.core_id";        // string, 32 hex digits
inline constexpr std::string_view kKeyPageBytes = "gguf_shard.page_bytes";  // u32, 4096
inline constexpr std::string_view kKeyPageCount = "gguf_shard.page_count";  // u64
inline constexpr std::string_view kKeyLayoutDigest = "gguf_shard.layout_sha256";  // string, hex
inline constexpr std::string_view kSourceHeaderTensor =
    "gguf_shard.source_header";  // all files' headers
inline constexpr std::string_view kGapsTensor =
    "gguf_shard.source_gaps";  // only when there are gaps
inline constexpr std::string_view kIndexTensor = "gguf_shard.index";
// Followed by a number: pages that a patch left without an owner.
inline constexpr std::string_view kUnusedTensorPrefix = "gguf_shard.unused.";

// Pages read in place of the file's own: a patch laid over a core. Thread-safe.
class PageOverlay {
 public:
  virtual ~PageOverlay() = default;
  // Like CoreFile::ReadRaw, for every page of the overlaid map but the index.
  virtual Result<void> ReadRaw(uint64_t first_page, std::span<std::byte> target) const = 0;
  // The CRC that the page must have, where that is known before it is read: of pages that are those
  // of the core below, from its index.
  virtual std::optional<uint32_t> ListedCrc(uint64_t page_index) const = 0;
};

class CoreFile {
 public:
  // `map_path` names the map, or the directory that holds core.sgmap.
  static Result<CoreFile> Open(const std::filesystem::path& map_path,
                               Caching caching = Caching::kBuffered);

  // The core that `map` describes: its pages come from the overlay, which may read them from a core
  // of its own. `core` says where it is, for messages.
  static CoreFile WithOverlay(CoreFile core, CoreMap map,
                              std::shared_ptr<const PageOverlay> overlay);

  const CoreMap& map() const { return map_; }
  const File& file() const { return file_; }
  const std::filesystem::path& map_path() const { return map_path_; }
  bool has_overlay() const { return overlay_ != nullptr; }

  // Reads the index, for those who want to tell old versions of pages from the right ones. Not for
  // a core with an overlay, whose index exists only once the patch is applied.
  Result<void> LoadIndex();
  // The same, without reading: `other` is the same core, opened twice, and has loaded it.
  void ShareIndexOf(const CoreFile& other);
  // Nothing where no index is loaded, or does not list the page.
  std::optional<uint32_t> ListedCrc(uint64_t page_index) const;

  uint64_t page_offset(uint64_t page_index) const {
    return map_.core.data_offset + page_index * kPageBytes;
  }
  // Reads pages unchecked: target.size() is a multiple of 4096.
  Result<void> ReadRaw(uint64_t first_page, std::span<std::byte> target) const;
  // Reads and checks every tag, and against the index when it is loaded; a bad page is read once
  // more before it is an error, which names file, tensor and page.
  Result<void> ReadPages(uint64_t first_page, std::span<std::byte> target) const;

  // The tensor (or "source header", "index", "source gaps") that a page belongs to.
  std::string PageOwner(uint64_t page_index) const;

  // The source header of one file, from its pages, parsed: the model's metadata.
  Result<GgufHeader> ReadSourceHeader(uint32_t source_file = 0) const;
  // Its raw bytes; and those of a gap.
  Result<std::vector<std::byte>> ReadBytes(PageRange pages, uint64_t byte_size) const;

 private:
  // The map at `path`, whose text is read from `text_path`.
  static Result<CoreFile> OpenWithMap(const std::filesystem::path& path,
                                      const std::filesystem::path& text_path, Caching caching);

  CoreFile(CoreMap map, File file, std::filesystem::path map_path)
      : map_(std::move(map)), file_(std::move(file)), map_path_(std::move(map_path)) {}

  Result<void> CheckOne(uint64_t page_index, std::span<const std::byte, kPageBytes> page) const;

  CoreMap map_;
  File file_;
  std::filesystem::path map_path_;
  std::shared_ptr<const PageOverlay> overlay_;  // may be null
  std::shared_ptr<const PageIndex> index_;      // may be null
};

// The header of core.gguf for a map: keys, then one 1-D I8 tensor per source tensor with pages.
std::vector<std::byte> SerializeCoreHeader(const CoreMap& map);

}  // namespace gguf_shard
