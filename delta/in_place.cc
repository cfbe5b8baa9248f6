#include "delta/in_place.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/cancel.h"
#include "core/edit_file.h"
#include "delta/core_changes.h"
#include "delta/undo_journal.h"

namespace gguf_shard {
namespace {

constexpr uint64_t kStageReadPages = 1024;
constexpr uint32_t kMaxUndoLevels = 1000;

std::filesystem::path WithSuffix(const std::filesystem::path& path, const std::string& suffix) {
  return path.parent_path() / (path.filename().string() + suffix);
}
std::filesystem::path JournalOf(const std::filesystem::path& core_path) {
  return WithSuffix(core_path, ".journal");
}
std::filesystem::path UndoOf(const std::filesystem::path& path, uint32_t level) {
  return WithSuffix(path, fmt::format(".undo-{}", level));
}

// How many in-place patches can be undone.
uint32_t UndoLevels(const std::filesystem::path& path) {
  std::error_code ignored;
  uint32_t level = 0;
  while (level < kMaxUndoLevels && std::filesystem::exists(UndoOf(path, level + 1), ignored)) {
    ++level;
  }
  return level;
}

// Where core and map are, also while the map is away: then the core is the one with a journal.
struct CorePlace {
  std::filesystem::path map_path;
  std::filesystem::path core_path;
};

Result<CorePlace> FindCore(const std::filesystem::path& path) {
  std::error_code ignored;
  const bool is_directory = std::filesystem::is_directory(path, ignored);
  const std::filesystem::path map_path = is_directory ? path / kMapFileName : path;
  if (std::filesystem::exists(map_path, ignored)) {
    GS_ASSIGN(const std::string text, ReadWholeFile(map_path, kMaxMapBytes));
    GS_ASSIGN(const CoreMap map, ParseMap(text));
    return CorePlace{map_path, map_path.parent_path() / map.core.file};
  }
  // The map's own name without its ending is the core's: core.sgmap and core.gguf.
  auto core_path = map_path;
  core_path.replace_extension(".gguf");
  return CorePlace{map_path, core_path};
}

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
                          Progress& progress) {
  GS_TRY(RemoveDurably(place.map_path));
  GS_ASSIGN(EditFile core, EditFile::Open(place.core_path));
  progress.Start("writing", stage.staged_bytes());
  GS_TRY(core.Resize(plan.map.core.data_offset + plan.map.core.page_count * kPageBytes));
  GS_TRY(stage.CopyTo(core, progress));
  GS_TRY(core.Sync());
  GS_TRY(WriteWholeFile(place.map_path, SerializeMap(plan.map), Overwrite::kAllow));
  const uint32_t level = UndoLevels(place.core_path) + 1;
  return RenameDurably(JournalOf(place.core_path), UndoOf(place.core_path, level));
}

}  // namespace

Result<ApplyReport> ApplyInPlace(const PatchReader& patch, const PatchedView& target,
                                 const CoreFile& core, const ApplyOptions& options,
                                 Progress& progress) {
  const CorePlace place{core.map_path(), core.file().path()};
  GS_ASSIGN(CorePlan plan, PlanPatchedCore(core, target, patch.patch().target_digest));
  if (plan.map.core.data_offset != core.map().core.data_offset) {
    return Fail(Error(ErrorCode::kUnsupported,
                      "the patched core needs a header of another size: apply with -o instead")
                    .File(place.core_path.string())
                    .Expected(core.map().core.data_offset)
                    .Found(plan.map.core.data_offset));
  }
  GS_TRY(ProveTarget(patch, target, options.thread_count, progress));
  GS_ASSIGN(Stage stage, Stage::Create(place.core_path));
  GS_TRY(StageChanges(target, core, plan, options, progress, stage));
  std::vector<ByteRange> ranges = stage.ranges();
  // What is cut off or covered by the new end of the file.
  const uint64_t new_bytes =
      plan.map.core.data_offset + plan.map.core.index.first_page * kPageBytes;
  const uint64_t old_index = core.page_offset(core.map().core.index.first_page);
  const uint64_t tail = std::min(new_bytes, old_index);
  ranges.push_back({tail, core.file().size_bytes() - tail});
  GS_ASSIGN(const std::string map_text, ReadWholeFile(place.map_path, kMaxMapBytes));
  GS_TRY(CheckCancelled());
  GS_TRY(WriteJournal(core.file(), map_text, std::move(ranges), JournalOf(place.core_path)));
  auto written = WriteChanges(plan, stage, place, progress);
  if (!written) {
    // The disk may be full: back to the base at once rather than at the next start.
    static_cast<void>(RecoverCore(place.map_path));
    return Fail(std::move(written.error()));
  }
  progress.Finish();
  return ApplyReport{{place.core_path, place.map_path}, stage.staged_bytes(), 0};
}

Result<ApplyReport> ApplyGgufInPlace(const PatchReader& patch, const PatchedView& target,
                                     const std::filesystem::path& path, const ApplyOptions& options,
                                     Progress& progress) {
  if (patch.patch().files.size() != 1) {
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
  std::error_code error;
  std::filesystem::create_hard_link(path, undo, error);
  if (error) {
    static_cast<void>(RemoveDurably(beside));
    return Fail(Error(ErrorCode::kIo, "cannot keep the old file for undo").File(undo.string()));
  }
  GS_TRY(RenameDurably(beside, path));
  report.files = {path};
  return report;
}

Result<bool> RecoverCore(const std::filesystem::path& path) {
  GS_ASSIGN(const CorePlace place, FindCore(path));
  const auto journal = JournalOf(place.core_path);
  std::error_code ignored;
  if (!std::filesystem::exists(journal, ignored)) return false;
  NoProgress silent;
  GS_TRY(RemoveDurably(place.map_path));
  GS_ASSIGN(const std::string map_text, RollBack(journal, place.core_path, silent));
  GS_TRY(WriteWholeFile(place.map_path, map_text, Overwrite::kAllow));
  GS_TRY(RemoveDurably(journal));
  return true;
}

Result<void> UndoInPlace(const std::filesystem::path& path, Progress& progress) {
  std::error_code ignored;
  if (UndoLevels(path) != 0 && std::filesystem::is_regular_file(path, ignored)) {
    return RenameDurably(UndoOf(path, UndoLevels(path)), path);
  }
  GS_ASSIGN(const bool recovered, RecoverCore(path));
  if (recovered) return {};
  GS_ASSIGN(const CorePlace place, FindCore(path));
  const uint32_t level = UndoLevels(place.core_path);
  if (level == 0) {
    return Fail(
        Error(ErrorCode::kNotFound, "there is no in-place patch to undo").File(path.string()));
  }
  GS_TRY(RenameDurably(UndoOf(place.core_path, level), JournalOf(place.core_path)));
  progress.Start("undoing", 0);
  GS_ASSIGN(const bool undone, RecoverCore(path));
  progress.Finish();
  if (undone) return {};
  return Fail(ErrorCode::kIo, "the undo data disappeared");
}

}  // namespace gguf_shard
