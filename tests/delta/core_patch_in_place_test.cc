// Patches on cores and GGUFs in place: applied, stacked, undone, refused before anything is
// written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "tests/delta/core_patch_fixture.h"

namespace gguf_shard {
namespace {

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

}  // namespace
}  // namespace gguf_shard
