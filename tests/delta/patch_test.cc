// From base and target to a patch and back: bit for bit, whatever the edit; small where little
// changed; refused where base or patch are not what they should be.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "delta/apply.h"
#include "delta/create.h"
#include "tests/delta/synthetic_model.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/testdata.h"

namespace gguf_shard {
namespace {

class PatchTest : public testing::Test {
 protected:
  Result<CreateReport> Create(const std::filesystem::path& base,
                              const std::filesystem::path& target,
                              const std::filesystem::path& patch,
                              DeltaLevel level = DeltaLevel::kDefault) {
    GS_ASSIGN(const OpenedModel base_model, OpenModel(base));
    GS_ASSIGN(const OpenedModel target_model, OpenModel(target));
    CreateOptions options;
    options.level = level;
    options.thread_count = 2;
    options.overwrite = Overwrite::kAllow;
    return CreatePatch(*base_model.view, *target_model.view, patch, options, progress_);
  }

  Result<ApplyReport> Apply(const std::filesystem::path& base, const std::filesystem::path& patch,
                            const std::filesystem::path& output) {
    GS_ASSIGN(const OpenedModel model, OpenModel(base));
    GS_ASSIGN(const PatchReader reader, PatchReader::Open(patch));
    GS_TRY(CheckBase(reader.patch(), *model.view, false));
    GS_ASSIGN(const auto view, PatchedView::Create(reader, *model.view));
    return ApplyToGguf(reader, *view, output, {2, Overwrite::kAllow}, progress_);
  }

  void ExpectPatchGivesTarget(DeltaLevel level = DeltaLevel::kDefault) {
    const auto created =
        Create(dir_ / "base.gguf", dir_ / "target.gguf", dir_ / "p.sgdelta", level);
    ASSERT_TRUE(created) << created.error().ToString();
    const auto applied = Apply(dir_ / "base.gguf", dir_ / "p.sgdelta", dir_ / "out.gguf");
    ASSERT_TRUE(applied) << applied.error().ToString();
    EXPECT_EQ(ReadAll(dir_ / "out.gguf"), ReadAll(dir_ / "target.gguf"));
  }

  TemporaryDirectory dir_;
  NoProgress progress_;
};

TEST_F(PatchTest, GivesTheTargetForRandomEdits) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 25; ++round) {
    const SyntheticModel base = MakeModel(random());
    WriteModel(base, dir_ / "base.gguf");
    WriteModel(EditModel(base, random), dir_ / "target.gguf");
    SCOPED_TRACE(round);
    ExpectPatchGivesTarget(static_cast<DeltaLevel>(round % 3));
  }
}

TEST_F(PatchTest, OfAModelToItselfIsTiny) {
  WriteModel(MakeModel(1), dir_ / "base.gguf");
  WriteModel(MakeModel(1), dir_ / "target.gguf");
  ExpectPatchGivesTarget();
  EXPECT_LT(std::filesystem::file_size(dir_ / "p.sgdelta"), 1024u);
}

TEST_F(PatchTest, OfMetadataAloneKeepsEveryTensor) {
  SyntheticModel model = MakeModel(1);
  WriteModel(model, dir_ / "base.gguf");
  model.chat_template = "another one that moves every byte behind it";
  WriteModel(model, dir_ / "target.gguf");
  ExpectPatchGivesTarget();
  EXPECT_LT(std::filesystem::file_size(dir_ / "p.sgdelta"), 1024u);
}

TEST_F(PatchTest, CopiesRenamedTensorsAndMovedRows) {
  SyntheticModel model = MakeModel(1);
  WriteModel(model, dir_ / "base.gguf");
  model.tensors[2].name = "renamed";
  auto& embedding = model.tensors[0];
  const auto rows = SyntheticWeights(embedding.type, 256 * 2, 99);
  embedding.bytes.insert(embedding.bytes.begin() + 272 * 100, rows.begin(), rows.end());
  embedding.shape[1] += 2;
  WriteModel(model, dir_ / "target.gguf");
  ExpectPatchGivesTarget();
  // Two new rows of 272 bytes; everything else is copied.
  EXPECT_LT(std::filesystem::file_size(dir_ / "p.sgdelta"), 2048u);
}

TEST_F(PatchTest, IsRefusedForAnotherBase) {
  WriteModel(MakeModel(1), dir_ / "base.gguf");
  WriteModel(MakeModel(2), dir_ / "target.gguf");
  SyntheticModel other = MakeModel(1);
  other.tensors[4].bytes[100] ^= std::byte{1};
  WriteModel(other, dir_ / "other.gguf");
  ASSERT_TRUE(Create(dir_ / "base.gguf", dir_ / "target.gguf", dir_ / "p.sgdelta"));
  const auto applied = Apply(dir_ / "other.gguf", dir_ / "p.sgdelta", dir_ / "out.gguf");
  ASSERT_FALSE(applied);
  EXPECT_EQ(applied.error().code(), ErrorCode::kMismatch);
  EXPECT_FALSE(std::filesystem::exists(dir_ / "out.gguf"));
}

// A small patch for the tests that damage it.
class DamagedPatch : public PatchTest {
 protected:
  void SetUp() override {
    SyntheticModel model;
    model.tensors = {MakeTensor("a", TensorType::kQ4_K, {256, 4}, 1),
                     MakeTensor("b", TensorType::kF32, {40}, 2)};
    WriteModel(model, dir_ / "base.gguf");
    model.tensors[0].bytes[77] ^= std::byte{64};
    model.tensors[1].bytes[11] ^= std::byte{1};
    model.trailing = {std::byte{7}, std::byte{8}};
    WriteModel(model, dir_ / "target.gguf");
    ASSERT_TRUE(Create(dir_ / "base.gguf", dir_ / "target.gguf", dir_ / "p.sgdelta"));
    patch_ = ReadAll(dir_ / "p.sgdelta");
    auto base = OpenModel(dir_ / "base.gguf");
    ASSERT_TRUE(base);
    base_ = std::move(*base);
  }

  void ExpectRefused(const std::string& bytes) {
    std::ofstream(dir_ / "bad.sgdelta", std::ios::binary | std::ios::trunc) << bytes;
    const auto reader = PatchReader::Open(dir_ / "bad.sgdelta");
    if (!reader) return;
    // Damage inside a frame shows when the frame is read.
    const auto view = PatchedView::Create(*reader, *base_.view);
    if (!view) return;
    EXPECT_FALSE(
        ApplyToGguf(*reader, **view, dir_ / "out.gguf", {1, Overwrite::kAllow}, progress_));
    EXPECT_FALSE(std::filesystem::exists(dir_ / "out.gguf"));
  }

  OpenedModel base_;
  std::string patch_;
};

TEST_F(DamagedPatch, IsRefusedWhenCutAnywhere) {
  for (size_t length = 0; length < patch_.size(); ++length) {
    SCOPED_TRACE(length);
    ExpectRefused(patch_.substr(0, length));
  }
}

TEST_F(DamagedPatch, IsRefusedForEverySingleBitFlip) {
  for (size_t bit = 0; bit < patch_.size() * 8; ++bit) {
    std::string damaged = patch_;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    SCOPED_TRACE(bit);
    ExpectRefused(damaged);
  }
}

TEST_F(DamagedPatch, IsRefusedWithBytesBehindIt) { ExpectRefused(patch_ + "x"); }

TEST_F(DamagedPatch, NamesTheDamagedFrame) {
  std::string damaged = patch_;
  damaged[70] = static_cast<char>(damaged[70] ^ 1);
  std::ofstream(dir_ / "bad.sgdelta", std::ios::binary) << damaged;
  const auto applied = Apply(dir_ / "base.gguf", dir_ / "bad.sgdelta", dir_ / "out.gguf");
  ASSERT_FALSE(applied);
  EXPECT_EQ(applied.error().code(), ErrorCode::kChecksumMismatch);
  EXPECT_THAT(applied.error().sentence(), testing::HasSubstr("frame 0"));
}

// The fine-tunes of the shared test data: what each may take at most (a general tool's size, or the
// goal of the project where that is lower).
struct Pair {
  const char* name;
  uint64_t limit_bytes;
};
class FineTune : public PatchTest, public testing::WithParamInterface<Pair> {};
INSTANTIATE_TEST_SUITE_P(, FineTune,
                         testing::Values(Pair{"full-Q8_0", 2750000}, Pair{"full-BF16", 4000000},
                                         Pair{"full-Q4_K_M", 970000}, Pair{"rl-BF16", 1066100},
                                         Pair{"rl-Q4_K_M", 143000}, Pair{"lora-Q8_0", 294260},
                                         Pair{"lora-Q4_K_M", 129203}, Pair{"last-Q4_K_M", 324160}),
                         [](const auto& pair) {
                           std::string name = pair.param.name;
                           name[name.find('-')] = '_';
                           return name;
                         });

TEST_P(FineTune, IsSmallAndComesBack) {
  GS_REQUIRE_TESTDATA();
  const std::string name = GetParam().name;
  const auto target = TestDataDir() / "pairs" / (name + ".gguf");
  const auto base =
      TestDataDir() / "models" / ("stories3M-rot256-" + name.substr(name.find('-') + 1) + ".gguf");
  const auto created = Create(base, target, dir_ / "p.sgdelta", DeltaLevel::kMax);
  ASSERT_TRUE(created) << created.error().ToString();
  EXPECT_LE(created->patch_bytes, GetParam().limit_bytes);
  const auto usual = Create(base, target, dir_ / "usual.sgdelta");
  ASSERT_TRUE(usual) << usual.error().ToString();
  EXPECT_LE(usual->patch_bytes, created->patch_bytes + created->patch_bytes / 20);
  const auto applied = Apply(base, dir_ / "p.sgdelta", dir_ / "out.gguf");
  ASSERT_TRUE(applied) << applied.error().ToString();
  EXPECT_EQ(ReadAll(dir_ / "out.gguf"), ReadAll(target));
  RecordProperty("max_bytes", std::to_string(created->patch_bytes));
  RecordProperty("default_bytes", std::to_string(usual->patch_bytes));
}

}  // namespace
}  // namespace gguf_shard
