#include "forge/verify.h"

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>

#include "core/core_file.h"
#include "forge/source_check.h"
#include "forge/unpack.h"

namespace gguf_shard {
namespace {

// Reads pages on one thread, checks them on another, and collects what is wrong with them.
class FaultList {
 public:
  explicit FaultList(const PageReader& reader) : reader_(reader) {}

  void Fetch(uint64_t first_page, std::span<std::byte> pages) {
    std::vector<PageFault> unreadable = reader_.Fetch(first_page, pages);
    if (unreadable.empty()) return;
    const std::lock_guard lock(mutex_);
    unreadable_.emplace(first_page, std::move(unreadable));
  }

  void Check(uint64_t first_page, std::span<std::byte> pages) {
    std::vector<PageFault> faults;
    {
      const std::lock_guard lock(mutex_);
      if (const auto node = unreadable_.extract(first_page)) faults = std::move(node.mapped());
    }
    reader_.Check(first_page, pages, faults);
    Add(std::move(faults));
  }

  // In page order, neighbours joined, with their owners.
  void MoveInto(const CoreFile& core, VerifyReport& report) {
    std::sort(faults_.begin(), faults_.end(),
              [](const PageFault& a, const PageFault& b) { return a.page_index < b.page_index; });
    report.bad_page_count = faults_.size();
    const PageOwners owners(core.map());
    for (PageFault& fault : faults_) {
      const std::string_view owner = owners.Find(fault.page_index);
      if (!report.bad_pages.empty()) {
        BadPages& last = report.bad_pages.back();
        if (last.pages.end_page() == fault.page_index && last.kind == fault.kind &&
            last.owner == owner) {
          ++last.pages.page_count;
          continue;
        }
      }
      report.bad_pages.push_back({{fault.page_index, 1},
                                  fault.kind,
                                  std::string(owner),
                                  std::move(fault.expected),
                                  std::move(fault.found)});
    }
  }

 private:
  void Add(std::vector<PageFault> faults) {
    if (faults.empty()) return;
    const std::lock_guard lock(mutex_);
    faults_.insert(faults_.end(), std::make_move_iterator(faults.begin()),
                   std::make_move_iterator(faults.end()));
  }

  const PageReader& reader_;
  std::mutex mutex_;  // guards what follows
  std::vector<PageFault> faults_;
  std::map<uint64_t, std::vector<PageFault>> unreadable_;  // of what is read and not yet checked
};

// Walks a range of pages in batches that have no source bytes.
class PageRangeCursor {
 public:
  explicit PageRangeCursor(PageRange range) : range_(range) {}
  std::optional<Batch> Next() {
    if (range_.page_count == 0) return std::nullopt;
    BatchPiece piece;
    piece.first_page = range_.first_page;
    piece.page_count = std::min(range_.page_count, kBatchBytes / kPageBytes);
    range_.first_page += piece.page_count;
    range_.page_count -= piece.page_count;
    Batch batch;
    batch.sequence = next_sequence_++;
    batch.page_bytes = piece.page_count * kPageBytes;
    batch.pieces.push_back(piece);
    return batch;
  }

 private:
  PageRange range_;
  uint64_t next_sequence_ = 0;
};

// Reads and checks a range of pages in page order; `take` gets the pages in that order.
Result<void> CheckPages(PageRange range, FaultList& faults,
                        const std::function<void(std::span<const std::byte>)>& take) {
  PageRangeCursor cursor(range);
  PipelineStages stages;
  stages.next = [&cursor] { return cursor.Next(); };
  stages.load = [&](BatchWork& work) -> Result<void> {
    faults.Fetch(work.batch.pieces.front().first_page, work.pages);
    return {};
  };
  stages.work = [&](BatchWork& work) -> Result<void> {
    faults.Check(work.batch.pieces.front().first_page, work.pages);
    return {};
  };
  stages.finish = [&take](BatchWork& work) -> Result<void> {
    take(work.pages);
    return {};
  };
  return RunPipeline(stages);
}

Result<void> CheckIndex(const CoreFile& core, FaultList& faults, VerifyReport& report) {
  const MapCore& map = core.map().core;
  Sha256Hasher hasher;
  GS_TRY(CheckPages(map.index, faults, [&hasher](auto pages) { hasher.Update(pages); }));
  const Sha256Digest found = hasher.Finish();
  if (found == map.index_sha256) return {};
  report.faults.push_back({"index", "the index has not the SHA-256 that the map promises",
                           ToHex(map.index_sha256), ToHex(found)});
  return {};
}

Result<void> CheckTagsOnly(const CoreFile& core, FaultList& faults, Progress& progress) {
  const PageRange all{0, core.map().core.index.first_page};
  progress.Start("verifying", all.page_count * kPageBytes);
  GS_TRY(CheckPages(all, faults, [&progress](auto pages) { progress.Advance(pages.size()); }));
  progress.Finish();
  return {};
}

void CompareDigests(const CoreMap& map, const SourceDigests& digests, VerifyReport& report) {
  for (size_t i = 0; i < map.tensors.size(); ++i) {
    const MapTensor& tensor = map.tensors[i];
    if (tensor.digest == digests.tensors[i]) continue;
    report.faults.push_back({"tensor " + tensor.name, "the tensor's bytes do not match its digest",
                             ToHex(tensor.digest), ToHex(digests.tensors[i])});
  }
  for (size_t i = 0; i < digests.files.size(); ++i) {
    const MapSourceFile& file = map.source.files[i];
    if (file.sha256 == digests.files[i]) continue;
    report.faults.push_back({"file " + file.name,
                             "the source file would not be reconstructed bit for bit",
                             ToHex(file.sha256), ToHex(digests.files[i])});
  }
}

Result<void> CheckEverything(const CoreFile& core, FaultList& faults, FileHashing file_hashing,
                             Progress& progress, VerifyReport& report) {
  UnpackHandlers handlers;
  handlers.read_pages = [&](uint64_t first_page, std::span<std::byte> pages) -> Result<void> {
    faults.Fetch(first_page, pages);
    return {};
  };
  handlers.check_pages = [&](uint64_t first_page, std::span<std::byte> pages) {
    faults.Check(first_page, pages);
  };
  handlers.take_source = [](const Batch&, std::span<const std::byte>) -> Result<void> {
    return {};
  };
  progress.Start("verifying", SourceBytes(core.map()));
  GS_ASSIGN(const SourceDigests digests, UnpackAll(core.map(), file_hashing, handlers, progress));
  progress.Finish();
  CompareDigests(core.map(), digests, report);
  return {};
}

}  // namespace

std::string_view VerifyDepthName(VerifyDepth depth) {
  switch (depth) {
    case VerifyDepth::kFast:
      return "fast";
    case VerifyDepth::kStandard:
      return "standard";
    case VerifyDepth::kFull:
      return "full";
  }
  return "unknown";
}

Result<VerifyReport> VerifyCore(const std::filesystem::path& map_path, VerifyDepth depth,
                                Progress& progress) {
  GS_ASSIGN(const CoreFile core, CoreFile::Open(map_path, Caching::kDirect));
  GS_ASSIGN(const PageReader reader, PageReader::Open(core));
  VerifyReport report;
  report.map_path = core.map_path();
  report.core_path = core.file().path();
  report.map = core.map();
  report.depth = depth;
  report.checked_page_count = core.map().core.page_count;

  FaultList faults(reader);
  GS_TRY(CheckIndex(core, faults, report));
  CheckMapAgainstSource(core, report);
  if (depth == VerifyDepth::kFast) {
    GS_TRY(CheckTagsOnly(core, faults, progress));
  } else {
    const auto file_hashing =
        depth == VerifyDepth::kFull ? FileHashing::kSha256 : FileHashing::kNone;
    GS_TRY(CheckEverything(core, faults, file_hashing, progress, report));
  }
  faults.MoveInto(core, report);
  return report;
}

}  // namespace gguf_shard
