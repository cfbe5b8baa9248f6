#include "validate/damaged_core.h"

#include <algorithm>
#include <cstring>

#include "core/bytes.h"
#include "core/cancel.h"
#include "core/core_file.h"
#include "core/digest.h"

namespace gguf_shard {
namespace {

constexpr uint64_t kStepPages = 256;

// The index's CRCs when it has the SHA-256 that the map holds; otherwise which pages fail.
void ReadIndex(const DamagedCore& core, DamageScan& scan) {
  const MapCore& map = core.map().core;
  std::vector<std::byte> pages(map.index.page_count * kPageBytes);
  core.ReadPages(map.index.first_page, pages);
  scan.index_is_intact = Sha256(pages) == map.index_sha256;
  for (uint64_t i = 0; i < map.index.page_count; ++i) {
    const uint64_t page_index = map.index.first_page + i;
    const auto page = PageAt(std::as_const(pages).data(), i);
    if (!PageIsIntact(map.id, page_index, page)) scan.bad_index_pages.push_back(page_index);
    if (!scan.index_is_intact) continue;
    const uint64_t first = i * kCrcsPerIndexPage;
    const uint64_t count = std::min<uint64_t>(kCrcsPerIndexPage, map.index.first_page - first);
    for (uint64_t k = 0; k < count; ++k) {
      scan.crcs[first + k] = LoadLe<uint32_t>(page.data() + k * 4);
    }
  }
}

}  // namespace

Result<DamagedCore> DamagedCore::Open(const std::filesystem::path& map_path, CoreMap map) {
  GS_ASSIGN(File file, File::OpenRead(map_path.parent_path() / map.core.file));
  file.AdviseSequential();
  return DamagedCore(std::move(map), std::move(file), map_path);
}

Result<bool> DamagedCore::HeaderIsRight() const {
  const std::vector<std::byte> right = SerializeCoreHeader(map_);
  if (right.size() != map_.core.data_offset) {
    return Fail(Error(ErrorCode::kMalformed, "the map contradicts itself: its core's header")
                    .File(map_path_.string())
                    .Expected(right.size())
                    .Found(map_.core.data_offset));
  }
  if (file_.size_bytes() < right.size()) return false;
  std::vector<std::byte> found(right.size());
  const auto read = file_.ReadAt(0, found);
  return read && found == right;
}

void DamagedCore::ReadPages(uint64_t first_page, std::span<std::byte> target) const {
  if (file_.ReadAt(page_offset(first_page), target)) return;
  for (uint64_t i = 0; i < target.size() / kPageBytes; ++i) {
    const auto page = PageAt(target.data(), i);
    if (file_.ReadAt(page_offset(first_page + i), page)) continue;
    std::memset(page.data(), 0, page.size());
  }
}

uint64_t DamageScan::bad_count() const {
  return static_cast<uint64_t>(std::count(bad.begin(), bad.end(), true));
}

Result<DamageScan> ScanDamage(const DamagedCore& core, Progress& progress) {
  const MapCore& map = core.map().core;
  DamageScan scan;
  scan.crcs.assign(map.index.first_page, 0);
  scan.bad.assign(map.index.first_page, false);
  ReadIndex(core, scan);
  progress.Start("looking for damage", map.index.first_page * kPageBytes);
  std::vector<std::byte> pages(kStepPages * kPageBytes);
  for (uint64_t first = 0; first < map.index.first_page; first += kStepPages) {
    GS_TRY(CheckCancelled());
    const uint64_t count = std::min(kStepPages, map.index.first_page - first);
    core.ReadPages(first, std::span(pages).first(count * kPageBytes));
    for (uint64_t i = 0; i < count; ++i) {
      const auto page = PageAt(std::as_const(pages).data(), i);
      uint32_t& crc = scan.crcs[first + i];
      bool good = PageIsIntact(map.id, first + i, page);
      if (scan.index_is_intact) good &= StoredPageCrc(page) == crc;
      if (!scan.index_is_intact && good) crc = StoredPageCrc(page);
      scan.bad[first + i] = !good;
    }
    progress.Advance(count * kPageBytes);
  }
  progress.Finish();
  return scan;
}

}  // namespace gguf_shard
