// What unsharding leaves behind: proven files or nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "core/cancel.h"
#include "forge/unshard.h"
#include "tests/forge/core_damage.h"

namespace gguf_shard {
namespace {

namespace fs = std::filesystem;

class UnshardOutput : public testing::Test {
 protected:
  UnshardOutput() { options_.output_directory = model_.directory() / "back"; }
  Result<UnshardReport> Unshard() {
    NoProgress progress;
    return UnshardModel(model_.map_path(), options_, progress);
  }
  // Expects a failure that leaves nothing; returns its error.
  Error FailsCleanly() {
    const auto report = Unshard();
    EXPECT_FALSE(report.has_value());
    EXPECT_FALSE(fs::exists(model_.directory() / "back"));
    return report ? Error(ErrorCode::kIo, "no error") : report.error();
  }

  ShardedModel model_;
  UnshardOptions options_;
};

TEST_F(UnshardOutput, NamesTheFilesAsTheSourceWasNamed) {
  const auto report = Unshard();
  ASSERT_TRUE(report.has_value()) << report.error().ToString();
  ASSERT_EQ(report->files.size(), 1u);
  EXPECT_EQ(report->files[0].path, model_.directory() / "back" / "model.gguf");
  const auto source = ReadBytes(model_.source_path());
  EXPECT_EQ(report->files[0].byte_size, source.size());
  EXPECT_EQ(report->files[0].sha256, Sha256(source));
  EXPECT_TRUE(ReadBytes(report->files[0].path) == source);
}

TEST_F(UnshardOutput, GoesBesideTheMapByDefault) {
  options_.output_directory.clear();
  ASSERT_TRUE(Unshard().has_value());
  EXPECT_TRUE(fs::exists(model_.directory() / "out" / "model.gguf"));
}

TEST_F(UnshardOutput, FindsTheMapInItsDirectory) {
  NoProgress progress;
  EXPECT_TRUE(UnshardModel(model_.map_path().parent_path(), options_, progress).has_value());
}

TEST_F(UnshardOutput, RefusesToReplaceAFileUnlessForced) {
  fs::create_directories(options_.output_directory);
  std::ofstream(options_.output_directory / "model.gguf") << "precious";
  EXPECT_EQ(Unshard().error().code(), ErrorCode::kAlreadyExists);
  EXPECT_EQ(fs::file_size(options_.output_directory / "model.gguf"), 8u);
  options_.overwrite = Overwrite::kAllow;
  EXPECT_TRUE(Unshard().has_value());
  EXPECT_TRUE(ReadBytes(options_.output_directory / "model.gguf") ==
              ReadBytes(model_.source_path()));
}

TEST_F(UnshardOutput, NeverReplacesTheCoreItReads) {
  model_.EditMap([](nlohmann::json& map) { map["source"]["files"][0]["name"] = "core.gguf"; });
  options_.output_directory = model_.map_path().parent_path();
  options_.overwrite = Overwrite::kAllow;
  const auto before = ReadBytes(model_.core_path());
  EXPECT_EQ(Unshard().error().code(), ErrorCode::kInvalidArgument);
  EXPECT_TRUE(before == ReadBytes(model_.core_path()));
}

TEST_F(UnshardOutput, ADamagedPageIsNamed) {
  const MapTensor& tensor = model_.tensor("blk.0.attn_q.weight");
  model_.FlipByte(tensor.first_page + 1, 17);
  const Error error = FailsCleanly();
  EXPECT_EQ(error.code(), ErrorCode::kChecksumMismatch);
  EXPECT_EQ(error.tensor(), "blk.0.attn_q.weight");
  EXPECT_EQ(error.page_index(), tensor.first_page + 1);
  EXPECT_EQ(error.file(), model_.core_path().string());
  EXPECT_NE(error.expected(), error.found());
}

TEST_F(UnshardOutput, AnOldVersionOfAPageIsNamed) {
  const MapTensor& tensor = model_.tensor("output.weight");
  model_.WriteStalePage(tensor.first_page);
  const Error error = FailsCleanly();
  EXPECT_EQ(error.code(), ErrorCode::kChecksumMismatch);
  EXPECT_EQ(error.page_index(), tensor.first_page);
  EXPECT_THAT(error.sentence(), testing::HasSubstr("old version"));
}

TEST_F(UnshardOutput, AnotherSha256ThanTheMapPromisesIsAnError) {
  const std::string wrong(64, 'a');
  model_.EditMap([&](nlohmann::json& map) { map["source"]["files"][0]["sha256"] = wrong; });
  const Error error = FailsCleanly();
  EXPECT_EQ(error.code(), ErrorCode::kChecksumMismatch);
  EXPECT_EQ(error.expected(), wrong);
  EXPECT_EQ(error.found(), ToHex(Sha256(ReadBytes(model_.source_path()))));
}

TEST_F(UnshardOutput, AnInterruptionLeavesNothing) {
  RequestCancel();
  const Error error = FailsCleanly();
  ClearCancel();
  EXPECT_EQ(error.code(), ErrorCode::kCancelled);
}

TEST_F(UnshardOutput, AMapThatPromisesMoreThanTheDiskHoldsIsRefused) {
  model_.EditMap(
      [](nlohmann::json& map) { map["source"]["files"][0]["bytes"] = uint64_t{1} << 51; });
  EXPECT_EQ(FailsCleanly().code(), ErrorCode::kNoSpace);
}

TEST_F(UnshardOutput, TheSecondFileFailingTakesTheFirstWithIt) {
  // A split of two files, the second of which cannot get its name.
  const fs::path directory = model_.directory() / "split";
  fs::create_directories(directory);
  for (int part = 0; part < 2; ++part) {
    ModelBuilder builder;
    builder.metadata().AddUint16("split.no", static_cast<uint16_t>(part));
    builder.metadata().AddUint16("split.count", 2);
    builder.metadata().AddInt32("split.tensors.count", 2);
    builder.Tensor("t" + std::to_string(part), TensorType::kF32, {100});
    builder.Write(directory / ("m-0000" + std::to_string(part + 1) + "-of-00002.gguf"));
  }
  NoProgress progress;
  const auto sharded = ShardModel(directory / "m-00001-of-00002.gguf", {}, progress);
  ASSERT_TRUE(sharded.has_value()) << sharded.error().ToString();

  const fs::path back = directory / "back";
  class BlockingProgress final : public Progress {
   public:
    explicit BlockingProgress(fs::path blocked) : blocked_(std::move(blocked)) {}
    void Start(std::string_view, uint64_t) override {}
    void Advance(uint64_t) override {}
    // After the work and before the commit, somebody else takes the second name.
    void Finish() override { std::ofstream(blocked_) << "somebody else's"; }

   private:
    fs::path blocked_;
  } blocking(back / "m-00002-of-00002.gguf");
  const UnshardOptions options{back, Overwrite::kRefuse};
  const auto report = UnshardModel(sharded->map_path, options, blocking);
  ASSERT_FALSE(report.has_value());
  EXPECT_EQ(report.error().code(), ErrorCode::kAlreadyExists);
  EXPECT_FALSE(fs::exists(back / "m-00001-of-00002.gguf"));
  EXPECT_EQ(fs::file_size(back / "m-00002-of-00002.gguf"), 15u);
}

}  // namespace
}  // namespace gguf_shard
