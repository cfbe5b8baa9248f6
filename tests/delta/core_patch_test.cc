// Patches on cores: applied to a new core, in place, undone, read without being applied, and killed
// at random moments.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <map>
#include <thread>

#include "delta/apply.h"
#include "delta/core_plan.h"
#include "delta/create.h"
#include "delta/in_place.h"
#include "delta/merge.h"
#include "delta/report.h"
#include "forge/shard.h"
#include "forge/unshard.h"
#include "forge/verify.h"
#include "tests/delta/synthetic_model.h"
#include "tests/support/temporary_directory.h"

namespace gguf_shard {
namespace {

namespace fs = std::filesystem;

class CorePatch : public testing::Test {
 protected:
  void Shard(const fs::path& gguf, const fs::path& directory) {
    ShardOptions options;
    options.output_directory = directory;
    options.overwrite = Overwrite::kAllow;
    const auto report = ShardModel(gguf, options, progress_);
    ASSERT_TRUE(report) << report.error().ToString();
  }

  void Create(const fs::path& base, const fs::path& target, const fs::path& patch) {
    auto base_model = OpenModel(base);
    ASSERT_TRUE(base_model) << base_model.error().ToString();
    auto target_model = OpenModel(target);
    ASSERT_TRUE(target_model) << target_model.error().ToString();
    CreateOptions options;
    options.thread_count = 2;
    options.overwrite = Overwrite::kAllow;
    const auto report =
        CreatePatch(*base_model->view, *target_model->view, patch, options, progress_);
    ASSERT_TRUE(report) << report.error().ToString();
  }

  // Runs `use(reader, view, core)` with the patch laid over the core in `directory`.
  template <typename Use>
  auto WithPatch(const fs::path& directory, const fs::path& patch, const Use& use)
      -> decltype(use(std::declval<PatchReader&>(), std::declval<PatchedView&>(),
                      std::declval<CoreFile&>())) {
    GS_ASSIGN(OpenedModel model, OpenModel(directory));
    GS_ASSIGN(PatchReader reader, PatchReader::Open(patch));
    GS_TRY(CheckBase(reader.patch(), *model.view, true));
    GS_ASSIGN(const auto view, PatchedView::Create(reader, *model.view));
    return use(reader, *view, *model.core);
  }

  Result<ApplyReport> ApplyNew(const fs::path& directory, const fs::path& patch,
                               const fs::path& output) {
    return WithPatch(directory, patch, [&](auto& reader, auto& view, auto& core) {
      return ApplyToCore(reader, view, core, output, {2, Overwrite::kAllow}, progress_);
    });
  }

  Result<ApplyReport> ApplyHere(const fs::path& directory, const fs::path& patch) {
    return WithPatch(directory, patch, [&](auto& reader, auto& view, auto& core) {
      return ApplyInPlace(reader, view, core, {2, Overwrite::kAllow}, progress_);
    });
  }

  void ExpectCoreHolds(const fs::path& directory, const fs::path& gguf) {
    const auto verified = VerifyCore(directory / "core.sgmap", VerifyDepth::kFull, progress_);
    ASSERT_TRUE(verified) << verified.error().ToString();
    for (const auto& fault : verified->faults) ADD_FAILURE() << fault.subject << fault.sentence;
    EXPECT_EQ(verified->bad_page_count, 0u);
    const auto out = dir_ / "unsharded";
    fs::create_directories(out);
    const auto files = UnshardModel(directory / "core.sgmap", {out, Overwrite::kAllow}, progress_);
    ASSERT_TRUE(files) << files.error().ToString();
    ASSERT_EQ(files->files.size(), 1u);
    EXPECT_EQ(ReadAll(files->files[0].path), ReadAll(gguf));
  }

  void MakePair(uint64_t seed) {
    std::mt19937_64 random(seed);
    const SyntheticModel base = MakeModel(seed);
    WriteModel(base, dir_ / "base.gguf");
    WriteModel(EditModel(base, random), dir_ / "target.gguf");
    fs::remove_all(dir_ / "base");
    Shard(dir_ / "base.gguf", dir_ / "base");
    Create(dir_ / "base.gguf", dir_ / "target.gguf", dir_ / "p.sgdelta");
  }

  TemporaryDirectory dir_;
  NoProgress progress_;
};

TEST_F(CorePatch, GivesACoreThatHoldsTheTarget) {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(seed);
    MakePair(seed);
    const auto applied = ApplyNew(dir_ / "base", dir_ / "p.sgdelta", dir_ / "out");
    ASSERT_TRUE(applied) << applied.error().ToString();
    ExpectCoreHolds(dir_ / "out", dir_ / "target.gguf");
  }
}

TEST_F(CorePatch, IsTheSamePatchFromCoresAndFromGgufs) {
  MakePair(3);
  Shard(dir_ / "target.gguf", dir_ / "target");
  Create(dir_ / "base", dir_ / "target", dir_ / "cores.sgdelta");
  EXPECT_EQ(ReadAll(dir_ / "cores.sgdelta"), ReadAll(dir_ / "p.sgdelta"));
}

TEST_F(CorePatch, KeepsUnchangedPagesWithTheirTags) {
  SyntheticModel model = MakeModel(1);
  WriteModel(model, dir_ / "base.gguf");
  model.tensors[2].bytes[5] ^= std::byte{1};
  WriteModel(model, dir_ / "target.gguf");
  Shard(dir_ / "base.gguf", dir_ / "base");
  Create(dir_ / "base.gguf", dir_ / "target.gguf", dir_ / "p.sgdelta");
  ASSERT_TRUE(ApplyNew(dir_ / "base", dir_ / "p.sgdelta", dir_ / "out"));
  const auto base = CoreFile::Open(dir_ / "base");
  const auto out = CoreFile::Open(dir_ / "out");
  ASSERT_TRUE(base && out);
  ASSERT_EQ(base->map().core.page_count, out->map().core.page_count);
  uint64_t different = 0;
  std::vector<std::byte> a(kPageBytes);
  std::vector<std::byte> b(kPageBytes);
  for (uint64_t page = 0; page < base->map().core.index.first_page; ++page) {
    ASSERT_TRUE(base->ReadRaw(page, a) && out->ReadRaw(page, b));
    different += a != b ? 1 : 0;
  }
  EXPECT_EQ(different, 1u);
  EXPECT_NE(base->map().core.id, out->map().core.id);
}

TEST_F(CorePatch, ReadsTheSamePagesWithoutBeingApplied) {
  for (uint64_t seed = 20; seed < 26; ++seed) {
    SCOPED_TRACE(seed);
    MakePair(seed);
    ASSERT_TRUE(ApplyNew(dir_ / "base", dir_ / "p.sgdelta", dir_ / "out"));
    const auto applied = CoreFile::Open(dir_ / "out");
    ASSERT_TRUE(applied);
    const auto compared = WithPatch(
        dir_ / "base", dir_ / "p.sgdelta",
        [&](auto& reader, auto& view, auto& core) -> Result<void> {
          GS_ASSIGN(const CorePlan plan, PlanPatchedCore(core, view, reader.patch().target_digest));
          const PatchedPages pages(core, view, plan);
          const uint64_t count = plan.map.core.index.first_page;
          std::vector<std::byte> expected(count * kPageBytes);
          std::vector<std::byte> found(count * kPageBytes);
          GS_TRY(applied->ReadRaw(0, expected));
          GS_TRY(pages.Read(0, found));
          EXPECT_EQ(found, expected);
          return {};
        });
    ASSERT_TRUE(compared) << compared.error().ToString();
  }
}

TEST_F(CorePatch, AppliedInPlaceAndUndoneGivesTheBaseBitForBit) {
  for (uint64_t seed = 40; seed < 52; ++seed) {
    SCOPED_TRACE(seed);
    MakePair(seed);
    const std::string core = ReadAll(dir_ / "base" / "core.gguf");
    const std::string map = ReadAll(dir_ / "base" / "core.sgmap");
    const auto applied = ApplyHere(dir_ / "base", dir_ / "p.sgdelta");
    ASSERT_TRUE(applied) << applied.error().ToString();
    ExpectCoreHolds(dir_ / "base", dir_ / "target.gguf");
    const auto undone = UndoInPlace(dir_ / "base", progress_);
    ASSERT_TRUE(undone) << undone.error().ToString();
    EXPECT_EQ(ReadAll(dir_ / "base" / "core.gguf"), core);
    EXPECT_EQ(ReadAll(dir_ / "base" / "core.sgmap"), map);
    EXPECT_EQ(UndoInPlace(dir_ / "base", progress_).error().code(), ErrorCode::kNotFound);
  }
}

// The files of a folder and what they hold.
std::map<std::string, std::string> FilesOf(const fs::path& directory) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(directory)) {
    files[entry.path().filename()] = ReadAll(entry.path());
  }
  return files;
}

TEST_F(CorePatch, RefusesASplitGgufInPlaceAndLeavesItAlone) {
  const SyntheticModel base = MakeModel(7);
  SyntheticModel target = base;
  std::mt19937_64 random(7);
  Disturb(target.tensors[0], 0.5, random);
  const auto parts = WriteSplitModel(base, dir_ / "split");
  const auto target_parts = WriteSplitModel(target, dir_ / "target");
  WriteModel(base, dir_ / "base.gguf");
  WriteModel(target, dir_ / "target.gguf");
  const auto before = FilesOf(dir_ / "split");
  const std::string whole = ReadAll(dir_ / "base.gguf");
  struct Case {
    fs::path base;
    fs::path target;
  };
  for (const Case& c : {Case{parts[0], target_parts[0]}, Case{parts[0], dir_ / "target.gguf"},
                        Case{dir_ / "base.gguf", target_parts[0]}}) {
    Create(c.base, c.target, dir_ / "p.sgdelta");
    const auto model = OpenModel(c.base);
    ASSERT_TRUE(model) << model.error().ToString();
    const auto reader = PatchReader::Open(dir_ / "p.sgdelta");
    ASSERT_TRUE(reader) << reader.error().ToString();
    const auto view = PatchedView::Create(*reader, *model->view);
    ASSERT_TRUE(view) << view.error().ToString();
    const auto applied =
        ApplyGgufInPlace(*reader, **view, c.base, {2, Overwrite::kAllow}, progress_);
    ASSERT_FALSE(applied);
    EXPECT_EQ(applied.error().code(), ErrorCode::kUnsupported);
    EXPECT_EQ(FilesOf(dir_ / "split"), before);
    EXPECT_EQ(ReadAll(dir_ / "base.gguf"), whole);
    EXPECT_FALSE(fs::exists(dir_ / "base.gguf.undo-1"));
    // What the refusal names instead.
    const auto beside =
        ApplyToGguf(*reader, **view, dir_ / "out", {2, Overwrite::kAllow}, progress_);
    ASSERT_TRUE(beside) << beside.error().ToString();
    for (const fs::path& path : beside->files) fs::remove(path);
  }
}

TEST_F(CorePatch, ChangesTheCoreOfASplitModelInPlace) {
  const SyntheticModel base = MakeModel(8);
  SyntheticModel target = base;
  std::mt19937_64 random(8);
  for (auto& tensor : target.tensors) Disturb(tensor, 0.3, random);
  const auto parts = WriteSplitModel(base, dir_ / "split");
  const auto target_parts = WriteSplitModel(target, dir_ / "target");
  Shard(parts[0], dir_ / "core");
  const std::string core = ReadAll(dir_ / "core" / "core.gguf");
  Create(parts[0], target_parts[0], dir_ / "p.sgdelta");
  const auto applied = ApplyHere(dir_ / "core", dir_ / "p.sgdelta");
  ASSERT_TRUE(applied) << applied.error().ToString();
  const auto unsharded =
      UnshardModel(dir_ / "core" / "core.sgmap", {.output_directory = dir_ / "again"}, progress_);
  ASSERT_TRUE(unsharded) << unsharded.error().ToString();
  EXPECT_EQ(FilesOf(dir_ / "again"), FilesOf(dir_ / "target"));
  ASSERT_TRUE(UndoInPlace(dir_ / "core", progress_));
  EXPECT_EQ(ReadAll(dir_ / "core" / "core.gguf"), core);
}

TEST_F(CorePatch, StacksInPlaceAndUndoesInTurn) {
  MakePair(61);
  std::mt19937_64 random(62);
  WriteModel(EditModel(MakeModel(61), random), dir_ / "third.gguf");
  Create(dir_ / "target.gguf", dir_ / "third.gguf", dir_ / "second.sgdelta");
  ASSERT_TRUE(ApplyHere(dir_ / "base", dir_ / "p.sgdelta"));
  const auto second = ApplyHere(dir_ / "base", dir_ / "second.sgdelta");
  ASSERT_TRUE(second) << second.error().ToString();
  ExpectCoreHolds(dir_ / "base", dir_ / "third.gguf");
  ASSERT_TRUE(UndoInPlace(dir_ / "base", progress_));
  ExpectCoreHolds(dir_ / "base", dir_ / "target.gguf");
  ASSERT_TRUE(UndoInPlace(dir_ / "base", progress_));
  ExpectCoreHolds(dir_ / "base", dir_ / "base.gguf");
}

TEST_F(CorePatch, InPlaceIsRefusedForAnotherBaseBeforeAnythingIsWritten) {
  MakePair(70);
  WriteModel(MakeModel(71), dir_ / "other.gguf");
  Shard(dir_ / "other.gguf", dir_ / "other");
  const std::string core = ReadAll(dir_ / "other" / "core.gguf");
  const auto applied = ApplyHere(dir_ / "other", dir_ / "p.sgdelta");
  ASSERT_FALSE(applied);
  EXPECT_EQ(applied.error().code(), ErrorCode::kMismatch);
  EXPECT_EQ(ReadAll(dir_ / "other" / "core.gguf"), core);
}

// The core's own header would get another page: every page of the file would move.
TEST_F(CorePatch, InPlaceIsRefusedForAHeaderOfAnotherSizeBeforeAnythingIsWritten) {
  SyntheticModel model = MakeModel(75);
  WriteModel(model, dir_ / "base.gguf");
  for (int i = 0; i < 100; ++i) {
    model.tensors.push_back(
        MakeTensor("added.with.a.long.name." + std::to_string(i), TensorType::kQ8_0, {32, 1}, 5));
  }
  WriteModel(model, dir_ / "target.gguf");
  Shard(dir_ / "base.gguf", dir_ / "base");
  Create(dir_ / "base.gguf", dir_ / "target.gguf", dir_ / "p.sgdelta");
  const std::string core = ReadAll(dir_ / "base" / "core.gguf");
  const auto applied = ApplyHere(dir_ / "base", dir_ / "p.sgdelta");
  ASSERT_FALSE(applied);
  EXPECT_EQ(applied.error().code(), ErrorCode::kUnsupported);
  EXPECT_THAT(applied.error().sentence(), testing::HasSubstr("apply with -o instead"));
  EXPECT_EQ(ReadAll(dir_ / "base" / "core.gguf"), core);
  EXPECT_EQ(std::distance(fs::directory_iterator(dir_ / "base"), fs::directory_iterator()), 2);
  ASSERT_TRUE(ApplyNew(dir_ / "base", dir_ / "p.sgdelta", dir_ / "out"));
  ExpectCoreHolds(dir_ / "out", dir_ / "target.gguf");
}

TEST_F(CorePatch, AGgufIsPatchedInPlaceAndUndone) {
  MakePair(80);
  const std::string base = ReadAll(dir_ / "base.gguf");
  {
    auto model = OpenModel(dir_ / "base.gguf");
    auto reader = PatchReader::Open(dir_ / "p.sgdelta");
    ASSERT_TRUE(model && reader);
    const auto view = PatchedView::Create(*reader, *model->view);
    ASSERT_TRUE(view);
    const auto applied =
        ApplyGgufInPlace(*reader, **view, dir_ / "base.gguf", {2, Overwrite::kAllow}, progress_);
    ASSERT_TRUE(applied) << applied.error().ToString();
  }
  EXPECT_EQ(ReadAll(dir_ / "base.gguf"), ReadAll(dir_ / "target.gguf"));
  ASSERT_TRUE(UndoInPlace(dir_ / "base.gguf", progress_));
  EXPECT_EQ(ReadAll(dir_ / "base.gguf"), base);
}

TEST_F(CorePatch, AChainMergedEqualsItsPatchesInTurn) {
  std::mt19937_64 random(95);
  SyntheticModel model = MakeModel(95);
  WriteModel(model, dir_ / "m0.gguf");
  std::vector<fs::path> patches;
  for (int i = 1; i <= 3; ++i) {
    model = EditModel(model, random);
    WriteModel(model, dir_ / ("m" + std::to_string(i) + ".gguf"));
    patches.push_back(dir_ / ("p" + std::to_string(i) + ".sgdelta"));
    Create(dir_ / ("m" + std::to_string(i - 1) + ".gguf"),
           dir_ / ("m" + std::to_string(i) + ".gguf"), patches.back());
  }
  auto base = OpenModel(dir_ / "m0.gguf");
  ASSERT_TRUE(base);
  const auto merged = MergePatches(*base->view, patches, dir_ / "merged.sgdelta", {}, progress_);
  ASSERT_TRUE(merged) << merged.error().ToString();
  const auto reader = PatchReader::Open(dir_ / "merged.sgdelta");
  ASSERT_TRUE(reader);
  const auto verified = VerifyPatch(*reader, base->view.get(), 2, progress_);
  ASSERT_TRUE(verified) << verified.error().ToString();
  const auto view = PatchedView::Create(*reader, *base->view);
  ASSERT_TRUE(view);
  ASSERT_TRUE(ApplyToGguf(*reader, **view, dir_ / "out.gguf", {2, Overwrite::kAllow}, progress_));
  EXPECT_EQ(ReadAll(dir_ / "out.gguf"), ReadAll(dir_ / "m3.gguf"));
  std::swap(patches[0], patches[1]);
  const auto wrong = MergePatches(*base->view, patches, dir_ / "wrong.sgdelta", {}, progress_);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code(), ErrorCode::kMismatch);
}

// Forks, lets the child run `work`, and kills it after a random time.
template <typename Work>
void KillAfter(std::chrono::microseconds delay, const Work& work) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    static_cast<void>(work());
    _exit(0);
  }
  std::this_thread::sleep_for(delay);
  kill(child, SIGKILL);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
}

TEST_F(CorePatch, KilledAtAnyMomentEndsInBaseOrTarget) {
  SyntheticModel model = MakeModel(90);
  WriteModel(model, dir_ / "base.gguf");
  for (auto& tensor : model.tensors) tensor.bytes[3] ^= std::byte{1};
  model.tensors.push_back(MakeTensor("added", TensorType::kQ4_K, {256, 333}, 5));
  WriteModel(model, dir_ / "target.gguf");
  Shard(dir_ / "base.gguf", dir_ / "base");
  Create(dir_ / "base.gguf", dir_ / "target.gguf", dir_ / "p.sgdelta");
  ASSERT_TRUE(ApplyNew(dir_ / "base", dir_ / "p.sgdelta", dir_ / "out"));
  const auto work = dir_ / "base";
  const std::string base = ReadAll(work / "core.gguf");
  const std::string target = ReadAll(dir_ / "out" / "core.gguf");
  const auto start = std::chrono::steady_clock::now();
  ASSERT_TRUE(ApplyHere(work, dir_ / "p.sgdelta"));
  const auto apply_time = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::steady_clock::now() - start);
  ASSERT_EQ(ReadAll(work / "core.gguf"), target);

  std::mt19937_64 random(1);
  int patched = 1;
  bool is_target = true;
  for (int round = 0; round < 200; ++round) {
    SCOPED_TRACE(round);
    const std::chrono::microseconds delay(
        static_cast<int64_t>(random() % static_cast<uint64_t>(3 * apply_time.count() + 2000)));
    KillAfter(delay, [&]() -> Result<void> {
      if (is_target) return UndoInPlace(work, progress_);
      GS_TRY(ApplyHere(work, dir_ / "p.sgdelta"));
      return {};
    });
    const auto recovered = RecoverCore(work);
    ASSERT_TRUE(recovered) << recovered.error().ToString();
    const std::string now = ReadAll(work / "core.gguf");
    is_target = now == target;
    ASSERT_TRUE(is_target || now == base);
    const auto opened = CoreFile::Open(work);
    ASSERT_TRUE(opened) << opened.error().ToString();
    patched += is_target ? 1 : 0;
  }
  EXPECT_GT(patched, 1);
}

}  // namespace
}  // namespace gguf_shard
