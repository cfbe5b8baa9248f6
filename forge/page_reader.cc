#include "forge/page_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "core/bytes.h"
#include "core/page.h"

namespace gguf_shard {
namespace {

std::string CrcText(uint32_t crc) { return fmt::format("{:08x}", crc); }

bool HasFault(const std::vector<PageFault>& faults, uint64_t page_index) {
  return std::any_of(faults.begin(), faults.end(), [page_index](const PageFault& fault) {
    return fault.page_index == page_index;
  });
}

}  // namespace

std::string_view PageFaultKindName(PageFaultKind kind) {
  switch (kind) {
    case PageFaultKind::kTag:
      return "bad_tag";
    case PageFaultKind::kStale:
      return "stale";
    case PageFaultKind::kUnreadable:
      return "unreadable";
  }
  return "unknown";
}

Result<PageReader> PageReader::Open(const CoreFile& core) {
  GS_ASSIGN(File index_file, File::OpenRead(core.file().path()));
  return PageReader(core, std::move(index_file));
}

std::vector<PageFault> PageReader::Read(uint64_t first_page, std::span<std::byte> target) const {
  std::vector<PageFault> faults = Fetch(first_page, target);
  Check(first_page, target, faults);
  return faults;
}

std::vector<PageFault> PageReader::Fetch(uint64_t first_page, std::span<std::byte> target) const {
  std::vector<PageFault> faults;
  if (!core_->ReadRaw(first_page, target)) ReadPageByPage(first_page, target, faults);
  return faults;
}

void PageReader::Check(uint64_t first_page, std::span<std::byte> target,
                       std::vector<PageFault>& faults) const {
  CheckTags(first_page, target, faults);
  CheckIndex(first_page, target, faults);
  std::sort(faults.begin(), faults.end(),
            [](const PageFault& a, const PageFault& b) { return a.page_index < b.page_index; });
}

Result<void> PageReader::ReadIntact(uint64_t first_page, std::span<std::byte> target) const {
  const std::vector<PageFault> faults = Read(first_page, target);
  if (faults.empty()) return {};
  const PageFault& fault = faults.front();
  const bool unreadable = fault.kind == PageFaultKind::kUnreadable;
  return Fail(Error(unreadable ? ErrorCode::kIo : ErrorCode::kChecksumMismatch,
                    fault.kind == PageFaultKind::kStale
                        ? "the page is an old version: it differs from the index"
                        : (unreadable ? "the page cannot be read" : "the page fails its tag"))
                  .File(core_->file().path().string())
                  .Tensor(core_->PageOwner(fault.page_index))
                  .Page(fault.page_index)
                  .Expected(fault.expected)
                  .Found(fault.found));
}

// After a failed read of many pages: finds out which of them cannot be read.
void PageReader::ReadPageByPage(uint64_t first_page, std::span<std::byte> target,
                                std::vector<PageFault>& faults) const {
  for (uint64_t i = 0; i < target.size() / kPageBytes; ++i) {
    const auto page = PageAt(target.data(), i);
    const auto read = core_->ReadRaw(first_page + i, page);
    if (read) continue;
    std::memset(page.data(), 0, page.size());
    faults.push_back({first_page + i, PageFaultKind::kUnreadable, "", read.error().sentence()});
  }
}

void PageReader::CheckTags(uint64_t first_page, std::span<std::byte> target,
                           std::vector<PageFault>& faults) const {
  const CoreId& id = core_->map().core.id;
  for (uint64_t i = 0; i < target.size() / kPageBytes; ++i) {
    const uint64_t page_index = first_page + i;
    const auto page = PageAt(target.data(), i);
    if (PageIsIntact(id, page_index, page) || HasFault(faults, page_index)) continue;
    // A fault on the way from the disk does not repeat.
    const bool reread = core_->ReadRaw(page_index, page).has_value();
    const auto checked = CheckPage(id, page_index, page);
    if (reread && checked) continue;
    faults.push_back({page_index, PageFaultKind::kTag, checked ? "" : checked.error().expected(),
                      checked ? "" : checked.error().found()});
  }
}

void PageReader::CheckIndex(uint64_t first_page, std::span<const std::byte> target,
                            std::vector<PageFault>& faults) const {
  const MapCore& core = core_->map().core;
  const uint64_t end_page =
      std::min(first_page + target.size() / kPageBytes, core.index.first_page);
  std::vector<std::byte> index_page(kPageBytes);
  uint64_t page = first_page;
  while (page < end_page) {
    const uint64_t index_page_index = core.index.first_page + page / kCrcsPerIndexPage;
    const uint64_t covered_end = (page / kCrcsPerIndexPage + 1) * kCrcsPerIndexPage;
    // A damaged index page is a fault of its own; it says nothing about other pages.
    const bool usable =
        index_file_.ReadAt(core_->page_offset(index_page_index), index_page).has_value() &&
        PageIsIntact(core.id, index_page_index, PageAt(std::as_const(index_page).data(), 0));
    for (; page < std::min(end_page, covered_end); ++page) {
      const auto expected = LoadLe<uint32_t>(index_page.data() + page % kCrcsPerIndexPage * 4);
      const uint32_t found = StoredPageCrc(PageAt(target.data(), page - first_page));
      if (!usable || expected == found || HasFault(faults, page)) continue;
      faults.push_back({page, PageFaultKind::kStale, CrcText(expected), CrcText(found)});
    }
  }
}

}  // namespace gguf_shard
