// Patches on cores: applied to a new core, read without being applied, merged.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "delta/core_plan.h"
#include "delta/merge.h"
#include "delta/report.h"
#include "tests/delta/core_patch_fixture.h"

namespace gguf_shard {
namespace {

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

}  // namespace
}  // namespace gguf_shard
