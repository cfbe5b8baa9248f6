// Shard, verify, unshard: the same bytes, for every model at hand and for shapes that no converter
// writes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "forge/shard.h"
#include "forge/unshard.h"
#include "forge/verify.h"
#include "tests/forge/model_builder.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/testdata.h"

namespace gguf_shard {
namespace {

namespace fs = std::filesystem;
using enum TensorType;

// Shards a model, checks the core at every depth, and gives back the directory of what came back.
class RoundTrip : public testing::Test {
 protected:
  void Run(const fs::path& model, ShardOptions options = {}) {
    SCOPED_TRACE(model.string());
    options.output_directory = temporary_ / "core";
    options.overwrite = Overwrite::kAllow;
    NoProgress progress;
    const auto sharded = ShardModel(model, options, progress);
    ASSERT_TRUE(sharded.has_value()) << sharded.error().ToString();
    for (const auto depth : {VerifyDepth::kFast, VerifyDepth::kStandard, VerifyDepth::kFull}) {
      const auto report = VerifyCore(sharded->map_path, depth, progress);
      ASSERT_TRUE(report.has_value()) << report.error().ToString();
      EXPECT_TRUE(report->intact());
    }
    const UnshardOptions unshard_options{temporary_ / "back", Overwrite::kAllow};
    const auto back = UnshardModel(sharded->map_path, unshard_options, progress);
    ASSERT_TRUE(back.has_value()) << back.error().ToString();
    for (const UnshardedFile& file : back->files) {
      EXPECT_TRUE(ReadBytes(file.path) == ReadBytes(model.parent_path() / file.path.filename()))
          << file.path;
    }
    map_ = sharded->map;
  }
  void Run(const ModelBuilder& builder, ShardOptions options = {}) {
    builder.Write(temporary_ / "model.gguf");
    Run(temporary_ / "model.gguf", std::move(options));
  }

  TemporaryDirectory temporary_;
  CoreMap map_;  // of the last model
};

std::vector<fs::path> GgufFilesIn(const fs::path& directory) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(directory)) {
    if (entry.path().extension() == ".gguf") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

TEST_F(RoundTrip, InTreeModels) {
  for (const fs::path& model : GgufFilesIn(InTreeDataDir())) Run(model);
}

TEST_F(RoundTrip, TrainedModelsOfEveryQuantization) {
  GS_REQUIRE_TESTDATA();
  const auto models = GgufFilesIn(TestDataDir() / "models");
  EXPECT_GE(models.size(), 20u);
  for (const fs::path& model : models) Run(model);
}

TEST_F(RoundTrip, VocabularyOnlyModels) {
  GS_REQUIRE_TESTDATA();
  for (const fs::path& model : GgufFilesIn(TestDataDir() / "vocab")) Run(model);
}

TEST_F(RoundTrip, ASplitModelFromAnyOfItsParts) {
  GS_REQUIRE_TESTDATA();
  const auto parts = GgufFilesIn(TestDataDir() / "models" / "split");
  ASSERT_EQ(parts.size(), 3u);
  Run(parts.front());
  EXPECT_EQ(map_.source.files.size(), 3u);
  Run(parts.back());
  EXPECT_EQ(map_.source.files.size(), 3u);
}

TEST_F(RoundTrip, EveryTensorTypeInOddShapes) {
  ModelBuilder builder;
  int number = 0;
  for (const TensorTypeInfo& info : AllTensorTypes()) {
    const std::string prefix = "blk." + std::to_string(number++) + ".";
    const uint64_t columns = 3 * uint64_t{info.block_weights};
    builder.Tensor(prefix + "attn_q.weight", info.type, {columns, 71})
        .Tensor(prefix + "attn_k.weight", info.type, {info.block_weights, 1})
        .Tensor(prefix + "ffn_up_exps.weight", info.type, {columns, 13, 5})
        .Tensor(prefix + "other", info.type, {columns, 2, 3, 2});
  }
  Run(builder);
  for (const auto policy : {LayoutPolicy::kColumnMajor, LayoutPolicy::kRowMajor}) {
    ShardOptions options;
    options.layout = policy;
    Run(builder, options);
  }
}

TEST_F(RoundTrip, ScalarsVectorsAndEmptyTensors) {
  Run(ModelBuilder()
          .Tensor("scalar", kF32, {})
          .Tensor("empty", kF32, {0})
          .Tensor("no_rows", kQ4_K, {256, 0})
          .Tensor("blk.0.ffn_up_exps.weight", kQ4_K, {256, 3, 0})
          .Tensor("one", kI8, {1})
          .Tensor("vector", kF64, {10'007})
          .Tensor("last_and_empty", kI32, {4, 0, 4}));
}

TEST_F(RoundTrip, AHeaderWithoutTensors) { Run(ModelBuilder()); }

TEST_F(RoundTrip, EveryAlignmentWithCleanAndDirtyGaps) {
  for (const uint64_t alignment : {8, 16, 32, 64, 256, 4096, 8192, 65536}) {
    SCOPED_TRACE(alignment);
    ModelBuilder builder(alignment);
    builder.Tensor("token_embd.weight", kF16, {33, 65})
        .Tensor("blk.0.attn_norm.weight", kF32, {7})
        .Tensor("blk.0.attn_q.weight", kQ8_0, {96, 41});
    Run(builder);
    EXPECT_TRUE(map_.source.files.front().gaps.empty());
    Run(builder.DirtyGaps());
    EXPECT_FALSE(map_.source.files.front().gaps.empty());
  }
}

TEST_F(RoundTrip, TrailingBytesOfEverySize) {
  for (const uint64_t byte_size : {1, 31, 4087, 4088, 4089, 100'000}) {
    SCOPED_TRACE(byte_size);
    Run(ModelBuilder().Tensor("a", kF32, {11}).Trailing(byte_size));
    ASSERT_EQ(map_.source.files.front().gaps.size(), 1u);
    EXPECT_EQ(map_.source.files.front().gaps[0].byte_size, byte_size);
    Run(ModelBuilder().Tensor("a", kF32, {11}).Trailing(byte_size, false));
    EXPECT_TRUE(map_.source.files.front().gaps.empty());
  }
}

TEST_F(RoundTrip, TensorsFarApart) {
  Run(ModelBuilder()
          .Tensor("a", kF32, {11})
          .Tensor("b", kF32, {11}, 5'000'000)
          .Tensor("c", kF32, {11}, 5'000'000));
}

TEST_F(RoundTrip, TensorsOfManyBatches) {
  Run(ModelBuilder()
          .Tensor("token_embd.weight", kF16, {512, 9'001})
          .Tensor("blk.0.ffn_up_exps.weight", kQ6_K, {768, 511, 9})
          .Tensor("blk.0.attn_q.weight", kF32, {70'001, 40}));
}

TEST_F(RoundTrip, TheSameInputAndCoreIdGiveTheSameOutput) {
  const fs::path model = InTreeDataDir() / "tale-Q4_K_M.gguf";
  ShardOptions options;
  options.core_id = CoreId{std::byte{7}};
  Run(model, options);
  const auto core = ReadBytes(temporary_ / "core" / "core.gguf");
  const auto map = ReadBytes(temporary_ / "core" / "core.sgmap");
  Run(model, options);
  EXPECT_TRUE(core == ReadBytes(temporary_ / "core" / "core.gguf"));
  EXPECT_TRUE(map == ReadBytes(temporary_ / "core" / "core.sgmap"));
  options.core_id.reset();
  Run(model, options);
  EXPECT_FALSE(core == ReadBytes(temporary_ / "core" / "core.gguf"));
}

// A decoder written from the documents alone, in another language, gives back the same file.
TEST_F(RoundTrip, ASecondDecoderReadsTheSameBytes) {
  ModelBuilder builder;
  int number = 0;
  for (const TensorTypeInfo& info : AllTensorTypes()) {
    if (!info.has_tile_layout()) continue;
    const std::string prefix = "blk." + std::to_string(number++) + ".";
    const uint64_t columns = 3 * uint64_t{info.block_weights};
    builder.Tensor(prefix + "attn_q.weight", info.type, {columns, 71})
        .Tensor(prefix + "attn_q.bias", info.type, {columns})
        .Tensor(prefix + "ffn_up_exps.weight", info.type, {columns, 13, 5});
  }
  Run(builder.Tensor("scalar", kF32, {}).Tensor("empty", kF32, {0}).DirtyGaps().Trailing(9000));
  const auto script = fs::path(GS_SOURCE_DIR) / "tests" / "forge" / "tiny_unshard.py";
  const std::string command = "python3 -B '" + script.string() + "' '" +
                              (temporary_ / "core" / "core.sgmap").string() + "' '" +
                              (temporary_ / "tiny").string() + "'";
  ASSERT_EQ(std::system(command.c_str()), 0);
  EXPECT_TRUE(ReadBytes(temporary_ / "tiny" / "model.gguf") ==
              ReadBytes(temporary_ / "model.gguf"));
}

}  // namespace
}  // namespace gguf_shard
