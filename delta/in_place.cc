#include "delta/in_place.h"

#include <algorithm>

#include "core/cancel.h"
#include "core/core_commit.h"
#include "core/edit_file.h"
#include "delta/core_changes.h"
#include "delta/core_place.h"
#include "delta/recover.h"
#include "delta/undo_journal.h"

namespace gguf_shard {
namespace {

constexpr uint64_t kStageReadPages = 1024;

// New pages are staged in an unnamed file: the base must stay readable until all are known.
class Stage {
 public:
  static Result<Stage> Create(const std::filesystem::path& beside) {
    GS_ASSIGN(OutputFile file, OutputFile::Create(WithSuffix(beside, ".stage"), Overwrite::kAllow));
    return Stage(std::move(file));
  }

  Result<void> Add(uint64_t core_offset, std::span<const std::byte> bytes) {
    GS_TRY(file_.WriteAt(staged_bytes_, bytes));
    if (!ranges_.empty() && ranges_.back().offset + ranges_.back().byte_size == core_offset) {
      ranges_.back().byte_size += bytes.size();
    } else {
      ranges_.push_back({core_offset, bytes.size()});
    }
    staged_bytes_ += bytes.size();
    return {};
  }

  Result<void> CopyTo(EditFile& core, Progress& progress) const {
    uint64_t position = 0;
    std::vector<std::byte> buffer(kStageReadPages * kPageBytes);
    for (const ByteRange& range : ranges_) {
      for (uint64_t done = 0; done < range.byte_size;) {
        const auto chunk =
            std::span(buffer).first(std::min<uint64_t>(buffer.size(), range.byte_size - done));
        GS_TRY(file_.ReadAt(position, chunk));
        GS_TRY(core.WriteAt(range.offset + done, chunk));
        progress.Advance(chunk.size());
        position += chunk.size();
        done += chunk.size();
      }
    }
    return {};
  }

  const std::vector<ByteRange>& ranges() const { return ranges_; }
  uint64_t staged_bytes() const { return staged_bytes_; }

 private:
  explicit Stage(OutputFile file) : file_(std::move(file)) {}

  OutputFile file_;
  std::vector<ByteRange> ranges_;
  uint64_t staged_bytes_ = 0;
};

Result<void> StageChanges(const PatchedView& target, const CoreFile& core, CorePlan& plan,
                          const ApplyOptions& options, Progress& progress, Stage& stage) {
  const uint64_t data_offset = plan.map.core.data_offset;
  progress.Start("patching", target.total_bytes());
  GS_ASSIGN(const auto index,
            FillChangedPages(core, target, plan, options.thread_count, progress,
                             [&](uint64_t first, std::span<const std::byte> pages) {
                               return stage.Add(data_offset + first * kPageBytes, pages);
                             }));
  GS_TRY(stage.Add(0, SerializeCoreHeader(plan.map)));
  return stage.Add(data_offset + plan.map.core.index.first_page * kPageBytes, index);
}

// From here on the core is neither base nor target, until the journal is gone.
Result<void> WriteChanges(const CorePlan& plan, const Stage& stage, const CorePlace& place,
                          EditFile& core, Progress& progress) {
  GS_TRY(RemoveDurably(place.map_path));
  progress.Start("writing", stage.staged_bytes());
  GS_TRY(core.Resize(plan.map.core.data_offset + plan.map.core.page_count * kPageBytes));
  GS_TRY(stage.CopyTo(core, progress));
  GS_TRY(core.Sync());
  GS_TRY(WriteWholeFile(place.map_path, SerializeMap(plan.map), Overwrite::kAllow));
  const uint32_t level = UndoLevels(place.core_path) + 1;
  return RenameDurably(place.journal(), UndoOf(place.core_path, level));
}

// What will be overwritten, cut off, or covered by the new end of the file.
std::vector<ByteRange> JournaledRanges(const CorePlan& plan, const CoreFile& core,
                                       const Stage& stage) {
  std::vector<ByteRange> ranges = stage.ranges();
  const uint64_t new_index =
      plan.map.core.data_offset + plan.map.core.index.first_page * kPageBytes;
  const uint64_t old_index = core.page_offset(core.map().core.index.first_page);
  const uint64_t tail = std::min(new_index, old_index);
  ranges.push_back({tail, core.file().size_bytes() - tail});
  return ranges;
}

Result<void> RefuseAnotherHeaderSize(const CorePlan& plan, const CoreFile& core) {
  if (plan.map.core.data_offset == core.map().core.data_offset) return {};
  return Fail(Error(ErrorCode::kUnsupported,
                    "the patched core needs a header of another size: apply with -o instead")
                  .File(core.file().path().string())
                  .Expected(core.map().core.data_offset)
                  .Found(plan.map.core.data_offset));
}

// Another process may have patched the core between its being opened and its being locked.
Result<void> RefuseChangedCore(const CoreFile& core) {
  GS_ASSIGN(const CoreId id, ReadCoreId(core.file().path()));
  if (id == core.map().core.id) return {};
  return Fail(Error(ErrorCode::kMismatch, "the core was changed by another process meanwhile")
                  .File(core.file().path().string())
                  .Expected(CoreIdToHex(core.map().core.id))
                  .Found(CoreIdToHex(id)));
}

}  // namespace

Result<ApplyReport> ApplyInPlace(const PatchReader& patch, const PatchedView& target,
                                 const CoreFile& core, const ApplyOptions& options,
                                 Progress& progress) {
  const CorePlace place{core.map_path(), core.file().path()};
  GS_ASSIGN(CorePlan plan, PlanPatchedCore(core, target, patch.patch().target_digest));
  GS_TRY(RefuseAnotherHeaderSize(plan, core));
  GS_ASSIGN(EditFile locked, LockCore(place));
  GS_TRY(RefuseChangedCore(core));
  GS_TRY(ProveTarget(patch, target, options.thread_count, progress));
  GS_ASSIGN(Stage stage, Stage::Create(place.core_path));
  GS_TRY(StageChanges(target, core, plan, options, progress, stage));
  GS_TRY(FinishCommit(place.map_path, core.map()));
  GS_ASSIGN(const std::string map_text, ReadWholeFile(place.map_path, kMaxMapBytes));
  GS_TRY(CheckCancelled());
  GS_TRY(WriteJournal(core.file(), {map_text, plan.map.core.id}, JournaledRanges(plan, core, stage),
                      place.journal()));
  auto written = WriteChanges(plan, stage, place, locked, progress);
  if (!written) {
    // The disk may be full: back to the base at once rather than at the next start.
    static_cast<void>(RollBackCore(place, locked));
    return Fail(std::move(written.error()));
  }
  progress.Finish();
  return ApplyReport{{place.core_path, place.map_path}, stage.staged_bytes(), 0};
}

Result<ApplyReport> ApplyGgufInPlace(const PatchReader& patch, const PatchedView& target,
                                     const std::filesystem::path& path, const ApplyOptions& options,
                                     Progress& progress) {
  if (patch.patch().files.size() != 1 || patch.patch().base_files.size() != 1) {
    return Fail(ErrorCode::kUnsupported, "a split model is not patched in place: apply with -o");
  }
  std::error_code ignored;
  const uint32_t levels = UndoLevels(path);
  // Left by a crash before the rename below: a second name of the file as it is.
  if (levels != 0 && std::filesystem::equivalent(UndoOf(path, levels), path, ignored)) {
    GS_TRY(RemoveDurably(UndoOf(path, levels)));
  }
  const auto undo = UndoOf(path, UndoLevels(path) + 1);
  ApplyOptions replace = options;
  replace.overwrite = Overwrite::kAllow;
  const auto beside = WithSuffix(path, ".patched");
  GS_ASSIGN(ApplyReport report, ApplyToGguf(patch, target, beside, replace, progress));
  // The old file gets its second name before the new one takes its first.
  auto linked = LinkFile(path, undo);
  if (!linked) {
    static_cast<void>(RemoveDurably(beside));
    return Fail(std::move(linked.error()));
  }
  GS_TRY(RenameDurably(beside, path));
  report.files = {path};
  return report;
}

}  // namespace gguf_shard
