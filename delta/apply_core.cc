// Writing a patched core beside its base.
#include <algorithm>
#include <future>

#include "core/cancel.h"
#include "core/core_commit.h"
#include "core/edit_file.h"
#include "core/write_around.h"
#include "delta/apply.h"
#include "delta/core_changes.h"
#include "delta/create.h"
#include "delta/in_place.h"
#include "delta/task_group.h"

namespace gguf_shard {
namespace {

constexpr uint64_t kCopyBytes = uint64_t{4} << 20;

// Copies pages of the base to the same place of the output: shared where the file system can.
class PageCopier {
 public:
  PageCopier(const CoreFile& base, uint64_t data_offset, OutputFile& output, uint32_t thread_count)
      : base_(base), data_offset_(data_offset), output_(output), tasks_(thread_count) {}

  Result<void> Copy(PageRange range, ApplyReport& report) {
    const uint64_t byte_size = range.page_count * kPageBytes;
    for (uint64_t done = 0; done < byte_size; done += kCopyBytes) {
      const uint64_t count = std::min(kCopyBytes, byte_size - done);
      const uint64_t offset = range.first_page * kPageBytes + done;
      GS_ASSIGN(const bool copied, CopyRange(base_.file(), base_.map().core.data_offset + offset,
                                             output_, data_offset_ + offset, count));
      if (copied) {
        output_.StartWriteback(data_offset_ + offset, count);
        report.shared_bytes += count;
        continue;
      }
      report.written_bytes += count;
      GS_TRY(tasks_.Submit([this, offset, count] { return CopyBytes(offset, count); }));
    }
    return {};
  }
  Result<void> Finish() { return tasks_.Wait(); }

 private:
  Result<void> CopyBytes(uint64_t offset, uint64_t count) {
    GS_TRY(CheckCancelled());
    thread_local BlockBuffer buffer;
    const auto pages = buffer.Place(data_offset_ + offset, count);
    GS_TRY(base_.ReadRaw(offset / kPageBytes, pages));
    return WriteAroundCache(output_, data_offset_ + offset, pages);
  }

  const CoreFile& base_;
  uint64_t data_offset_;
  OutputFile& output_;
  TaskGroup tasks_;  // the last: it works on the others
};

// The pages before the index that FillChangedPages did not write.
std::vector<PageRange> UntouchedPages(std::vector<PageRange> written, uint64_t end_page) {
  std::sort(written.begin(), written.end(),
            [](const PageRange& a, const PageRange& b) { return a.first_page < b.first_page; });
  std::vector<PageRange> untouched;
  uint64_t next = 0;
  for (const PageRange& range : written) {
    if (range.first_page > next) untouched.push_back({next, range.first_page - next});
    next = std::max(next, range.end_page());
  }
  if (next < end_page) untouched.push_back({next, end_page - next});
  return untouched;
}

}  // namespace

Result<ApplyReport> ApplyToCore(const PatchReader& patch, const PatchedView& target,
                                const CoreFile& core, const std::filesystem::path& directory,
                                const ApplyOptions& options, Progress& progress) {
  GS_TRY(MakeDirectories(directory));
  GS_TRY(RecoverCore(directory));  // else its journal would be taken for the new core's
  GS_ASSIGN(CorePlan plan, PlanPatchedCore(core, target, patch.patch().target_digest));
  const uint64_t data_offset = plan.map.core.data_offset;
  const uint64_t core_bytes = data_offset + plan.map.core.page_count * kPageBytes;
  GS_TRY(CheckFreeSpace(directory, core_bytes));
  const auto core_path = directory / plan.map.core.file;
  const auto map_path = directory / core.map_path().filename();
  GS_ASSIGN(OutputFile output, OutputFile::Create(core_path, options.overwrite));
  GS_TRY(OutputFile::Create(map_path, options.overwrite));  // refused now rather than at the end
  ApplyReport report;
  std::vector<PageRange> written;
  progress.Start("applying", target.total_bytes());
  // Nothing has a name before the proof is done.
  NoProgress silent;
  auto proof = std::async(std::launch::async,
                          [&] { return ProveTarget(patch, target, options.thread_count, silent); });
  GS_ASSIGN(const auto index,
            FillChangedPages(core, target, plan, options.thread_count, progress,
                             [&](uint64_t first, std::span<const std::byte> pages) -> Result<void> {
                               written.push_back({first, pages.size() / kPageBytes});
                               report.written_bytes += pages.size();
                               return output.WriteAt(data_offset + first * kPageBytes, pages);
                             }));
  PageCopier copier(core, data_offset, output, std::min(ThreadCountOr(options.thread_count), 4u));
  for (const PageRange& range : UntouchedPages(written, plan.map.core.index.first_page)) {
    GS_TRY(copier.Copy(range, report));
  }
  GS_TRY(copier.Finish());
  GS_TRY(output.WriteAt(0, SerializeCoreHeader(plan.map)));
  GS_TRY(output.WriteAt(data_offset + plan.map.core.index.first_page * kPageBytes, index));
  GS_TRY(proof.get());
  GS_TRY(CommitCore(output, map_path, SerializeMap(plan.map), options.overwrite));
  progress.Finish();
  report.files = {core_path, map_path};
  return report;
}

}  // namespace gguf_shard
