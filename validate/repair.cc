#include "validate/repair.h"

#include <algorithm>
#include <array>
#include <memory>
#include <mutex>
#include <utility>

#include "core/cancel.h"
#include "core/core_commit.h"
#include "core/core_file.h"
#include "core/page_index.h"
#include "forge/source_check.h"
#include "forge/unpack.h"
#include "validate/damaged_core.h"
#include "validate/good_copy.h"
#include "validate/remote_view.h"

namespace gguf_shard {
namespace {

namespace fs = std::filesystem;
using PageBuffer = std::array<std::byte, kPageBytes>;

// The map, and the text of it that goes beside the repaired core.
struct LoadedMap {
  CoreMap map;
  std::string text;
  bool from_copy = false;
};

Result<LoadedMap> ParseText(const fs::path& path) {
  GS_ASSIGN(std::string text, ReadWholeFile(path, kMaxMapBytes));
  GS_ASSIGN(CoreMap map, ParseMap(text));
  return LoadedMap{std::move(map), std::move(text)};
}

// Whether the header of the core in that folder names this map.
bool HeaderNames(const fs::path& folder, const CoreMap& map) {
  const auto core = File::OpenRead(folder / map.core.file);
  if (!core) return false;
  const auto header = ReadGgufHeader(*core);
  return header && header->GetString(kKeyCoreId) == CoreIdToHex(map.core.id) &&
         header->GetString(kKeyLayoutDigest) == ToHex(LayoutDigest(map));
}

// The map beside the core; or the one that an interrupted commit left there under its first name,
// or that of a copy which is the same core, when the core's header names that one instead.
Result<LoadedMap> LoadMap(const fs::path& path, const std::string& from) {
  auto own = ParseText(path);
  if (own && HeaderNames(path.parent_path(), own->map)) return own;
  auto next = ParseText(NextMapPath(path));
  if (next && HeaderNames(path.parent_path(), next->map)) return next;
  if (!IsAddress(from)) {
    const auto other = CoreFile::Open(from);
    if (other && HeaderNames(path.parent_path(), other->map())) {
      return LoadedMap{other->map(), SerializeMap(other->map()), true};
    }
  }
  if (!own) own.error().SetFileIfEmpty(path.string());
  return own;
}

// One repair, from what was found to what is written.
class Repair {
 public:
  Repair(const DamagedCore& core, const GoodCopy& copy, DamageScan scan)
      : core_(core),
        copy_(copy),
        owners_(core.map()),
        scan_(std::move(scan)),
        replaced_(scan_.bad.size(), false) {}

  // Decides which pages the copy replaces.
  Result<void> Decide(RepairReport& report);
  // Whether the map describes the source whose SHA-256 it holds, with the replaced pages in place.
  Result<bool> MapIsProven(Progress& progress) const;
  Result<void> Write(const std::string& map_text, Progress& progress) const;

 private:
  Result<void> DecideByIndex(RepairReport& report);
  Result<void> DecideByIndexDigest(RepairReport& report);
  bool MakeAnew(const std::vector<bool>& which, RepairReport& report);
  bool IndexIsProven() const;
  void List(std::vector<RepairPages>& list, uint64_t page, const std::string& reason) const;
  Result<void> ReadRepaired(uint64_t first_page, std::span<std::byte> pages) const;

  const DamagedCore& core_;
  const GoodCopy& copy_;
  const PageOwners owners_;
  DamageScan scan_;
  std::vector<bool> replaced_;
};

void Repair::List(std::vector<RepairPages>& list, uint64_t page, const std::string& reason) const {
  const std::string_view owner = owners_.Find(page);
  if (!list.empty() && list.back().pages.end_page() == page && list.back().owner == owner &&
      list.back().reason == reason) {
    ++list.back().pages.page_count;
  } else {
    list.push_back({{page, 1}, std::string(owner), reason});
  }
}

// Each page by itself: its CRC is known.
Result<void> Repair::DecideByIndex(RepairReport& report) {
  alignas(kDirectAlignment) PageBuffer page;
  for (uint64_t i = 0; i < scan_.bad.size(); ++i) {
    if (!scan_.bad[i]) continue;
    GS_TRY(CheckCancelled());
    const auto made = copy_.ReadPage(i, page);
    if (!made) {
      List(report.unrepaired, i, made.error().sentence());
    } else if (StoredPageCrc(page) != scan_.crcs[i]) {
      List(report.unrepaired, i, "the copy has other bytes there");
    } else {
      replaced_[i] = true;
      List(report.repaired, i, "");
    }
  }
  return {};
}

bool Repair::IndexIsProven() const {
  const MapCore& core = core_.map().core;
  return Sha256(MakeIndexPages(core, scan_.crcs)) == core.index_sha256;
}

// False when the copy lacks one of them.
bool Repair::MakeAnew(const std::vector<bool>& which, RepairReport& report) {
  alignas(kDirectAlignment) PageBuffer page;
  report.repaired.clear();
  for (uint64_t i = 0; i < which.size(); ++i) {
    if (!which[i]) continue;
    if (CancelRequested() || !copy_.ReadPage(i, page)) return false;
    const bool differs = scan_.bad[i] || StoredPageCrc(page) != scan_.crcs[i];
    scan_.crcs[i] = StoredPageCrc(page);
    replaced_[i] = differs;
    if (differs) List(report.repaired, i, "");
  }
  return true;
}

// All together: only the SHA-256 of the index is known. First with the pages that fail their tags;
// then, since an old version of a page passes its tag, with all pages.
Result<void> Repair::DecideByIndexDigest(RepairReport& report) {
  if (MakeAnew(scan_.bad, report) && IndexIsProven()) return {};
  const std::vector<bool> all(scan_.bad.size(), true);
  if (MakeAnew(all, report) && IndexIsProven()) return {};
  GS_TRY(CheckCancelled());
  report.repaired.clear();
  replaced_.assign(replaced_.size(), false);
  const std::string reason =
      "the index is damaged too, and the copy does not give the one whose SHA-256 the map holds";
  for (uint64_t i = 0; i < scan_.bad.size(); ++i) {
    if (scan_.bad[i]) List(report.unrepaired, i, reason);
  }
  for (const uint64_t page : scan_.bad_index_pages) List(report.unrepaired, page, reason);
  if (report.unrepaired.empty()) {
    List(report.unrepaired, core_.map().core.index.first_page, reason);
  }
  return {};
}

Result<void> Repair::Decide(RepairReport& report) {
  report.bad_page_count = scan_.bad_count() + scan_.bad_index_pages.size();
  if (scan_.index_is_intact) return DecideByIndex(report);
  GS_TRY(DecideByIndexDigest(report));
  report.index_restored = report.complete();
  return {};
}

// Pages before the index, with those of the copy in the places of the bad ones.
Result<void> Repair::ReadRepaired(uint64_t first_page, std::span<std::byte> pages) const {
  core_.ReadPages(first_page, pages);
  for (uint64_t i = 0; i < pages.size() / kPageBytes; ++i) {
    if (!replaced_[first_page + i]) continue;
    const auto page = PageAt(pages.data(), i);
    GS_TRY(copy_.ReadPage(first_page + i, page));
    if (StoredPageCrc(page) != scan_.crcs[first_page + i]) {
      return Fail(
          Error(ErrorCode::kMismatch, "the copy changed while it was read").Page(first_page + i));
    }
  }
  return {};
}

Result<bool> Repair::MapIsProven(Progress& progress) const {
  UnpackHandlers handlers;
  handlers.take_source = [](const Batch&, std::span<const std::byte>) -> Result<void> {
    return {};
  };
  std::mutex one_at_a_time;  // the copy is for one thread
  handlers.read_pages = [&](uint64_t first_page, std::span<std::byte> pages) -> Result<void> {
    const std::lock_guard lock(one_at_a_time);
    return ReadRepaired(first_page, pages);
  };
  const CoreMap& map = core_.map();
  progress.Start("proving the map", SourceBytes(map));
  GS_ASSIGN(const SourceDigests digests, UnpackAll(map, FileHashing::kSha256, handlers, progress));
  progress.Finish();
  for (size_t i = 0; i < map.tensors.size(); ++i) {
    if (map.tensors[i].digest != digests.tensors[i]) return false;
  }
  for (size_t i = 0; i < map.source.files.size(); ++i) {
    if (map.source.files[i].sha256 != digests.files[i]) return false;
  }
  return true;
}

Result<void> Repair::Write(const std::string& map_text, Progress& progress) const {
  constexpr uint64_t kStepPages = 256;
  const MapCore& map = core_.map().core;
  const uint64_t core_bytes = core_.page_offset(map.page_count);
  GS_TRY(CheckFreeSpace(core_.map_path().parent_path(), core_bytes));
  GS_ASSIGN(OutputFile output, OutputFile::Create(core_.file().path(), Overwrite::kAllow));
  GS_TRY(output.Reserve(core_bytes));
  GS_TRY(output.WriteAt(0, SerializeCoreHeader(core_.map())));
  progress.Start("writing", map.index.first_page * kPageBytes);
  std::vector<std::byte> buffer(kStepPages * kPageBytes);
  for (uint64_t first = 0; first < map.index.first_page; first += kStepPages) {
    GS_TRY(CheckCancelled());
    const uint64_t count = std::min(kStepPages, map.index.first_page - first);
    const auto pages = std::span(buffer).first(count * kPageBytes);
    GS_TRY(ReadRepaired(first, pages));
    GS_TRY(output.WriteAt(core_.page_offset(first), pages));
    output.StartWriteback(core_.page_offset(first), pages.size());
    progress.Advance(pages.size());
  }
  GS_TRY(output.WriteAt(core_.page_offset(map.index.first_page), MakeIndexPages(map, scan_.crcs)));
  progress.Finish();
  return CommitCore(output, core_.map_path(), map_text, Overwrite::kAllow);
}

}  // namespace

Result<RepairReport> RepairCore(const fs::path& map_path, const RepairOptions& options,
                                Progress& progress) {
  std::error_code ignored;
  const fs::path path = fs::is_directory(map_path, ignored) ? map_path / kMapFileName : map_path;
  GS_ASSIGN(LoadedMap loaded, LoadMap(path, options.from));
  GS_ASSIGN(const DamagedCore core, DamagedCore::Open(path, std::move(loaded.map)));
  RepairReport report;
  report.core_path = core.file().path();
  report.map_restored = loaded.from_copy;
  GS_ASSIGN(const bool header_is_right, core.HeaderIsRight());
  report.header_restored = !header_is_right || !core.has_right_size();
  GS_ASSIGN(DamageScan scan, ScanDamage(core, progress));
  if (scan.bad_count() == 0 && scan.index_is_intact && header_is_right && core.has_right_size() &&
      !loaded.from_copy) {
    return report;
  }
  GS_ASSIGN(const auto copy, GoodCopy::Open(options.from, options.patches, core.map()));
  Repair repair(core, *copy, std::move(scan));
  GS_TRY(repair.Decide(report));
  if (!header_is_right) {
    // Which of the two is damaged, the map or the header? The map holds if it leads to the source.
    GS_ASSIGN(const bool proven, repair.MapIsProven(progress));
    if (!proven) {
      return Fail(Error(ErrorCode::kMismatch,
                        "the map and the core's header disagree, and the map does not lead to the "
                        "source whose SHA-256 it holds: the map is damaged, or pages stay bad")
                      .File(path.string()));
    }
  }
  if (report.repaired.empty() && !report.header_restored && !report.index_restored &&
      !report.map_restored) {
    return report;
  }
  GS_TRY(repair.Write(loaded.text, progress));
  report.written = true;
  return report;
}

}  // namespace gguf_shard
