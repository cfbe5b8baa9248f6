// What the tests of patches on cores share: a folder with a base and a target, as GGUFs and as
// cores, and the patch between them. For one thread.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <random>
#include <utility>

#include "delta/apply.h"
#include "delta/create.h"
#include "delta/in_place.h"
#include "forge/shard.h"
#include "forge/unshard.h"
#include "forge/verify.h"
#include "tests/delta/synthetic_model.h"
#include "tests/support/temporary_directory.h"

namespace gguf_shard {

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

}  // namespace gguf_shard
