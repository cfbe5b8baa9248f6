// Shard, apply and undo, crashed at every change of the file system: the next start finds the old
// state or the new one.
#include <fcntl.h>
#include <gtest/gtest.h>

#include "core/core_commit.h"
#include "core/core_file.h"
#include "core/edit_file.h"
#include "core/file_operations.h"
#include "delta/apply.h"
#include "delta/create.h"
#include "delta/in_place.h"
#include "delta/merge.h"
#include "delta/report.h"
#include "forge/shard.h"
#include "forge/verify.h"
#include "tests/delta/synthetic_model.h"
#include "tests/support/temporary_directory.h"
#include "validate/crash_check.h"

namespace gguf_shard {
namespace {

namespace fs = std::filesystem;

constexpr CoreId kOldId{std::byte{1}};
constexpr CoreId kNewId{std::byte{2}};

Result<void> Nothing(const fs::path&) { return {}; }

Result<void> WriteWithoutSync(const fs::path& path, const std::string& text) {
  FileOperations& operations = CurrentFileOperations();
  const int descriptor = operations.Open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
  if (descriptor < 0) return Fail(ErrorCode::kIo, "cannot open");
  const ssize_t put = operations.Write(descriptor, text.data(), text.size(), 0);
  operations.Close(descriptor);
  if (put == static_cast<ssize_t>(text.size())) return {};
  return Fail(ErrorCode::kIo, "cannot write");
}

class CrashConsistency : public testing::Test {
 protected:
  CrashConsistency() {
    fs::create_directories(pristine_);
    SyntheticModel model = MakeModel(90);
    WriteModel(model, pristine_ / "base.gguf");
    for (auto& tensor : model.tensors) tensor.bytes[3] ^= std::byte{1};
    WriteModel(model, pristine_ / "target.gguf");
  }

  static Result<void> Shard(const fs::path& gguf, const fs::path& folder, const CoreId& id) {
    NoProgress progress;
    ShardOptions options;
    options.output_directory = folder;
    options.overwrite = Overwrite::kAllow;
    options.core_id = id;
    GS_TRY(ShardModel(gguf, options, progress));
    return {};
  }

  static void MakePatch(const fs::path& base, const fs::path& target, const fs::path& patch) {
    NoProgress progress;
    const auto base_model = OpenModel(base);
    const auto target_model = OpenModel(target);
    ASSERT_TRUE(base_model && target_model);
    CreateOptions options;
    options.thread_count = 1;
    ASSERT_TRUE(CreatePatch(*base_model->view, *target_model->view, patch, options, progress));
  }

  static Result<void> Apply(const fs::path& work) {
    NoProgress progress;
    GS_ASSIGN(OpenedModel model, OpenModel(work / "core"));
    GS_ASSIGN(PatchReader reader, PatchReader::Open(work / "p.sgdelta"));
    GS_ASSIGN(const auto view, PatchedView::Create(reader, *model.view));
    ApplyOptions options;
    options.thread_count = 1;
    GS_ASSIGN(const CoreFile core, CoreFile::Open(work / "core"));
    GS_TRY(ApplyInPlace(reader, *view, core, options, progress));
    return {};
  }

  static Result<void> ApplyBeside(const fs::path& work, Overwrite overwrite) {
    NoProgress progress;
    GS_ASSIGN(OpenedModel model, OpenModel(work / "core"));
    GS_ASSIGN(PatchReader reader, PatchReader::Open(work / "p.sgdelta"));
    GS_ASSIGN(const auto view, PatchedView::Create(reader, *model.view));
    ApplyOptions options;
    options.thread_count = 1;
    options.overwrite = overwrite;
    GS_TRY(ApplyToCore(reader, *view, *model.core, work / "out" / "core", options, progress));
    return {};
  }

  static Result<void> Recover(const fs::path& work) {
    GS_TRY(RecoverCore(work / "core"));
    return {};
  }

  // The state of the core in `work` / "core", which must be intact to the last byte.
  static CrashState Identify(const fs::path& work, const Sha256Digest& old_source,
                             const Sha256Digest& new_source, std::string& found) {
    NoProgress progress;
    const auto report = VerifyCore(work / "core", VerifyDepth::kFull, progress);
    if (!report) {
      found = report.error().ToString();
      return CrashState::kNeither;
    }
    found = report->intact() ? "another model" : "a damaged core";
    if (!report->intact()) return CrashState::kNeither;
    const Sha256Digest& source = report->map.source.files.front().sha256;
    if (source == old_source) return CrashState::kOld;
    return source == new_source ? CrashState::kNew : CrashState::kNeither;
  }

  static Sha256Digest Digest(const fs::path& path) {
    const auto text = ReadWholeFile(path, uint64_t{1} << 30);
    return Sha256(std::as_bytes(std::span(*text)));
  }

  CrashReport Check(const CrashScenario& scenario) {
    const auto report = CheckCrashes(scenario, dir_ / "work", {});
    EXPECT_TRUE(report.has_value()) << report.error().ToString();
    if (!report) return {};
    for (const CrashFailure& failure : report->failures) {
      ADD_FAILURE() << scenario.name << " crashed at change " << failure.crash_at << " of "
                    << report->change_count << " with seed " << failure.seed << ": "
                    << failure.found;
    }
    EXPECT_GT(report->ended_old, 0u);
    EXPECT_GT(report->ended_new, 0u);
    return *report;
  }

  // Old: the base's core; new: the target's, made by patching in place.
  CrashScenario InPlace() {
    const auto base = Digest(pristine_ / "base.gguf");
    const auto target = Digest(pristine_ / "target.gguf");
    MakePatch(pristine_ / "base.gguf", pristine_ / "target.gguf", pristine_ / "p.sgdelta");
    EXPECT_TRUE(Shard(pristine_ / "base.gguf", pristine_ / "core", kOldId));
    return {"apply in place", pristine_, Apply, Recover,
            [=](const fs::path& work, std::string& found) {
              return Identify(work, base, target, found);
            }};
  }

  TemporaryDirectory dir_;
  fs::path pristine_ = dir_ / "pristine";
};

TEST_F(CrashConsistency, ShardingWhereNothingWas) {
  const auto source = Digest(pristine_ / "base.gguf");
  const CrashScenario scenario = {
      "shard", pristine_,
      [](const fs::path& work) { return Shard(work / "base.gguf", work / "core", kNewId); },
      Nothing,
      [=](const fs::path& work, std::string& found) {
        const auto opened = CoreFile::Open(work / "core");
        if (!opened && opened.error().code() == ErrorCode::kNotFound) return CrashState::kOld;
        return Identify(work, {}, source, found);
      }};
  Check(scenario);
}

TEST_F(CrashConsistency, ShardingOverAnOlderCore) {
  const auto base = Digest(pristine_ / "base.gguf");
  const auto target = Digest(pristine_ / "target.gguf");
  ASSERT_TRUE(Shard(pristine_ / "base.gguf", pristine_ / "core", kOldId));
  const CrashScenario scenario = {
      "shard --force", pristine_,
      [](const fs::path& work) { return Shard(work / "target.gguf", work / "core", kNewId); },
      Nothing,
      [=](const fs::path& work, std::string& found) {
        return Identify(work, base, target, found);
      }};
  Check(scenario);
}

TEST_F(CrashConsistency, ShardingAgainAfterACrashWorks) {
  const auto source = Digest(pristine_ / "base.gguf");
  const CrashScenario scenario = {
      "shard twice", pristine_,
      [](const fs::path& work) { return Shard(work / "base.gguf", work / "core", kNewId); },
      [](const fs::path& work) { return Shard(work / "base.gguf", work / "core", kNewId); },
      [=](const fs::path& work, std::string& found) {
        const CrashState state = Identify(work, {}, source, found);
        const bool litter = fs::exists(work / "core" / "core.sgmap.next");
        if (litter) found = "a map that was never finished is left";
        return litter ? CrashState::kNeither : state;
      }};
  const auto report = CheckCrashes(scenario, dir_ / "work", {});
  ASSERT_TRUE(report) << report.error().ToString();
  EXPECT_TRUE(report->survived()) << report->failures.front().found;
}

// The check itself: a writer that forgets to sync its data before the name is caught.
TEST_F(CrashConsistency, NoticesAMissingSync) {
  const std::string old_text(3000, 'o');
  const std::string new_text(3000, 'n');
  ASSERT_TRUE(WriteWholeFile(pristine_ / "file", old_text, Overwrite::kAllow));
  const CrashScenario scenario = {"a careless writer", pristine_,
                                  [&](const fs::path& work) -> Result<void> {
                                    GS_TRY(WriteWithoutSync(work / "beside", new_text));
                                    return RenameDurably(work / "beside", work / "file");
                                  },
                                  Nothing,
                                  [&](const fs::path& work, std::string& found) {
                                    found = ReadWholeFile(work / "file", 1 << 20).value_or("");
                                    if (found == old_text) return CrashState::kOld;
                                    return found == new_text ? CrashState::kNew
                                                             : CrashState::kNeither;
                                  }};
  CrashOptions options;
  options.seeds_per_change = 20;
  const auto report = CheckCrashes(scenario, dir_ / "work", options);
  ASSERT_TRUE(report) << report.error().ToString();
  EXPECT_GT(report->failures.size(), 0u);
  EXPECT_GT(report->ended_old, 0u);
  EXPECT_GT(report->ended_new, 0u);
}

// And one that forgets to sync the folder that it made: what it said was done is lost.
TEST_F(CrashConsistency, NoticesAFolderThatIsLostAfterTheEnd) {
  ASSERT_TRUE(WriteWholeFile(pristine_ / "other", "x", Overwrite::kAllow));
  CrashScenario scenario;
  scenario.name = "a careless maker of folders";
  scenario.pristine = pristine_;
  scenario.act = [](const fs::path& work) -> Result<void> {
    if (CurrentFileOperations().MakeDirectory((work / "new").c_str(), 0777) != 0) {
      return Fail(ErrorCode::kIo, "cannot make it");
    }
    return WriteWholeFile(work / "new" / "file", "new", Overwrite::kRefuse);
  };
  scenario.restart = Nothing;
  scenario.identify = [](const fs::path& work, std::string&) {
    return fs::exists(work / "new" / "file") ? CrashState::kNew : CrashState::kOld;
  };
  CrashOptions options;
  options.seeds_per_change = 20;
  const auto careless = CheckCrashes(scenario, dir_ / "work", options);
  ASSERT_TRUE(careless) << careless.error().ToString();
  EXPECT_FALSE(careless->survived());
  scenario.act = [](const fs::path& work) -> Result<void> {
    GS_TRY(MakeDirectories(work / "new"));
    return WriteWholeFile(work / "new" / "file", "new", Overwrite::kRefuse);
  };
  const auto careful = CheckCrashes(scenario, dir_ / "work", options);
  ASSERT_TRUE(careful) << careful.error().ToString();
  EXPECT_TRUE(careful->survived());
}

TEST_F(CrashConsistency, PatchingInPlace) { Check(InPlace()); }

TEST_F(CrashConsistency, ApplyingToACoreWhereNothingWas) {
  CrashScenario scenario = InPlace();
  const auto target = Digest(pristine_ / "target.gguf");
  scenario.name = "apply to a core";
  scenario.act = [](const fs::path& work) { return ApplyBeside(work, Overwrite::kRefuse); };
  scenario.identify = [=](const fs::path& work, std::string& found) {
    const auto opened = CoreFile::Open(work / "out" / "core");
    if (!opened && opened.error().code() == ErrorCode::kNotFound) return CrashState::kOld;
    return Identify(work / "out", {}, target, found);
  };
  Check(scenario);
}

TEST_F(CrashConsistency, ApplyingToACoreOverAnOlderCore) {
  CrashScenario scenario = InPlace();
  const auto target = Digest(pristine_ / "target.gguf");
  // What is there is the base's core of another id: it must not be taken for the patched one.
  ASSERT_TRUE(Shard(pristine_ / "base.gguf", pristine_ / "out" / "core", kNewId));
  const auto base = Digest(pristine_ / "base.gguf");
  scenario.name = "apply to a core, forced";
  scenario.act = [](const fs::path& work) { return ApplyBeside(work, Overwrite::kAllow); };
  scenario.identify = [=](const fs::path& work, std::string& found) {
    return Identify(work / "out", base, target, found);
  };
  Check(scenario);
}

// The next in-place patch finds a commit that never ended.
TEST_F(CrashConsistency, PatchingInPlaceAfterACommitWasInterrupted) {
  CrashScenario scenario = InPlace();
  const fs::path map = pristine_ / "core" / "core.sgmap";
  fs::rename(map, NextMapPath(map));
  ASSERT_TRUE(WriteWholeFile(map, "{}", Overwrite::kRefuse));
  scenario.name = "apply in place, with a map that was never finished";
  Check(scenario);
}

TEST_F(CrashConsistency, PatchingAGgufInPlace) {
  CrashScenario scenario = InPlace();
  const auto base = Digest(pristine_ / "base.gguf");
  const auto target = Digest(pristine_ / "target.gguf");
  scenario.name = "apply to a GGUF in place";
  scenario.act = [](const fs::path& work) -> Result<void> {
    NoProgress progress;
    GS_ASSIGN(OpenedModel model, OpenModel(work / "base.gguf"));
    GS_ASSIGN(PatchReader reader, PatchReader::Open(work / "p.sgdelta"));
    GS_ASSIGN(const auto view, PatchedView::Create(reader, *model.view));
    ApplyOptions options;
    options.thread_count = 1;
    GS_TRY(ApplyGgufInPlace(reader, *view, work / "base.gguf", options, progress));
    return {};
  };
  scenario.restart = Nothing;
  scenario.identify = [=](const fs::path& work, std::string& found) {
    found = "another GGUF";
    const Sha256Digest digest = Digest(work / "base.gguf");
    if (digest == target) return CrashState::kNew;
    return digest == base ? CrashState::kOld : CrashState::kNeither;
  };
  Check(scenario);
}

TEST_F(CrashConsistency, UndoingAPatch) {
  CrashScenario scenario = InPlace();
  ASSERT_TRUE(Apply(pristine_));
  const auto identify = scenario.identify;
  scenario.name = "undo";
  scenario.act = [](const fs::path& work) {
    NoProgress progress;
    return UndoInPlace(work / "core", progress);
  };
  scenario.identify = [identify](const fs::path& work, std::string& found) {
    const CrashState state = identify(work, found);  // the target is what was there before
    if (state == CrashState::kNeither) return state;
    return state == CrashState::kOld ? CrashState::kNew : CrashState::kOld;
  };
  Check(scenario);
}

}  // namespace
}  // namespace gguf_shard
