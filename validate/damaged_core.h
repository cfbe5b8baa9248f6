// A core whose file may be damaged anywhere: read without the checks of CoreFile::Open, so that it
// can be repaired. The scan finds what is wrong with it, page by page.
// Thread-safety: immutable after opening.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/file.h"
#include "core/map.h"
#include "core/progress.h"

namespace gguf_shard {

class DamagedCore {
 public:
  // `map` says what the file should be; it lies beside the map.
  static Result<DamagedCore> Open(const std::filesystem::path& map_path, CoreMap map);

  const CoreMap& map() const { return map_; }
  const File& file() const { return file_; }
  const std::filesystem::path& map_path() const { return map_path_; }

  uint64_t page_offset(uint64_t page_index) const {
    return map_.core.data_offset + page_index * kPageBytes;
  }
  bool has_right_size() const { return file_.size_bytes() == page_offset(map_.core.page_count); }
  // Whether the file's first bytes are those that the map asks for.
  Result<bool> HeaderIsRight() const;
  // Pages as they are; what the file does not have, or the disk refuses, is zero and thus bad.
  void ReadPages(uint64_t first_page, std::span<std::byte> target) const;

 private:
  DamagedCore(CoreMap map, File file, std::filesystem::path map_path)
      : map_(std::move(map)), file_(std::move(file)), map_path_(std::move(map_path)) {}

  CoreMap map_;
  File file_;
  std::filesystem::path map_path_;
};

struct DamageScan {
  // The CRC that each page before the index must have, where the index is intact; else the CRC of
  // each page that passes its tag.
  std::vector<uint32_t> crcs;
  std::vector<bool> bad;  // pages before the index
  bool index_is_intact = false;
  std::vector<uint64_t> bad_index_pages;
  uint64_t bad_count() const;
};

Result<DamageScan> ScanDamage(const DamagedCore& core, Progress& progress);

}  // namespace gguf_shard
