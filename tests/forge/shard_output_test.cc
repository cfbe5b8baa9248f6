// What sharding leaves behind: both outputs or nothing, and never over something that matters.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "core/bytes.h"
#include "core/cancel.h"
#include "forge/shard.h"
#include "tests/forge/model_builder.h"
#include "tests/support/temporary_directory.h"

namespace gguf_shard {
namespace {

namespace fs = std::filesystem;
using enum TensorType;

class ShardOutput : public testing::Test {
 protected:
  ShardOutput() {
    ModelBuilder()
        .Tensor("token_embd.weight", kQ8_0, {512, 4000})
        .Tensor("blk.0.attn_q.weight", kQ4_K, {512, 4000})
        .Write(model());
    options_.output_directory = temporary_ / "out";
  }
  fs::path model() const { return temporary_ / "model.gguf"; }
  Result<ShardReport> Shard() {
    NoProgress progress;
    return ShardModel(model(), options_, progress);
  }
  // The error's code; kSuccess has none.
  std::optional<ErrorCode> ShardError() {
    const auto report = Shard();
    if (report) return std::nullopt;
    return report.error().code();
  }
  void Put(const fs::path& path, const std::string& text) {
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  std::string Get(const fs::path& path) {
    const auto bytes = ReadBytes(path);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  TemporaryDirectory temporary_;
  ShardOptions options_;
};

TEST_F(ShardOutput, GoesBesideTheModelByDefault) {
  EXPECT_EQ(DefaultShardDirectory("dir/tale-Q4_0.gguf"), "dir/tale-Q4_0.shard");
  EXPECT_EQ(DefaultShardDirectory("big-00002-of-00007.gguf"), "big.shard");
  options_.output_directory.clear();
  ASSERT_TRUE(Shard().has_value());
  EXPECT_TRUE(fs::exists(temporary_ / "model.shard" / "core.gguf"));
  EXPECT_TRUE(fs::exists(temporary_ / "model.shard" / "core.sgmap"));
}

TEST_F(ShardOutput, TakesItsNamesAndMakesMissingDirectories) {
  options_.output_directory = temporary_ / "a" / "b" / "c";
  options_.name = "mine";
  const auto report = Shard();
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->core_path, temporary_ / "a" / "b" / "c" / "mine.gguf");
  EXPECT_TRUE(fs::exists(report->core_path));
  EXPECT_TRUE(fs::exists(temporary_ / "a" / "b" / "c" / "mine.sgmap"));
  EXPECT_EQ(report->map.core.file, "mine.gguf");
}

TEST_F(ShardOutput, RefusesNamesThatLeaveTheDirectory) {
  for (const std::string name : {"", "a/b", "..", ".hidden", "a\\b"}) {
    options_.name = name;
    EXPECT_EQ(ShardError(), ErrorCode::kInvalidArgument) << name;
  }
  EXPECT_FALSE(fs::exists(temporary_ / "out"));
}

TEST_F(ShardOutput, RefusesAModelWhoseNameNoMapCanHold) {
  const fs::path strange = temporary_ / "caf\xE9.gguf";  // Latin-1, not UTF-8
  fs::rename(model(), strange);
  NoProgress progress;
  const auto report = ShardModel(strange, options_, progress);
  ASSERT_FALSE(report.has_value());
  EXPECT_EQ(report.error().code(), ErrorCode::kUnsupported);
  EXPECT_FALSE(fs::exists(temporary_ / "out"));
}

TEST_F(ShardOutput, RefusesToReplaceEitherFileUnlessForced) {
  for (const char* name : {"core.gguf", "core.sgmap"}) {
    Put(temporary_ / "out" / name, "precious");
    EXPECT_EQ(ShardError(), ErrorCode::kAlreadyExists);
    EXPECT_EQ(Get(temporary_ / "out" / name), "precious");
    fs::remove(temporary_ / "out" / name);
    EXPECT_TRUE(fs::is_empty(temporary_ / "out"));
  }
  Put(temporary_ / "out" / "core.gguf", "old");
  Put(temporary_ / "out" / "core.sgmap", "old");
  options_.overwrite = Overwrite::kAllow;
  EXPECT_TRUE(Shard().has_value());
  EXPECT_NE(Get(temporary_ / "out" / "core.sgmap"), "old");
}

TEST_F(ShardOutput, NeverReplacesTheModelItself) {
  options_.output_directory = temporary_.path();
  options_.name = "model";
  options_.overwrite = Overwrite::kAllow;
  const auto before = ReadBytes(model());
  EXPECT_EQ(ShardError(), ErrorCode::kInvalidArgument);
  EXPECT_TRUE(before == ReadBytes(model()));
}

TEST_F(ShardOutput, AMissingOrBrokenModelLeavesNothing) {
  NoProgress progress;
  const auto missing = ShardModel(temporary_ / "none.gguf", options_, progress);
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(missing.error().code(), ErrorCode::kNotFound);
  Put(temporary_ / "model.gguf", "GGUFnot really");
  EXPECT_TRUE(ShardError().has_value());
  EXPECT_FALSE(fs::exists(temporary_ / "out"));
}

TEST_F(ShardOutput, AnInterruptionLeavesNothing) {
  RequestCancel();
  const auto code = ShardError();
  ClearCancel();
  EXPECT_EQ(code, ErrorCode::kCancelled);
  EXPECT_FALSE(fs::exists(temporary_ / "out"));
}

// Requests the interruption in the middle of the work.
class CancellingProgress final : public Progress {
 public:
  void Start(std::string_view, uint64_t total_bytes) override { total_bytes_ = total_bytes; }
  void Advance(uint64_t bytes) override {
    done_bytes_ += bytes;
    if (done_bytes_ >= total_bytes_) RequestCancel();
  }
  void Finish() override {}

 private:
  uint64_t total_bytes_ = 0;
  uint64_t done_bytes_ = 0;
};

TEST_F(ShardOutput, AnInterruptionAtTheVeryEndLeavesNothing) {
  CancellingProgress progress;
  const auto report = ShardModel(model(), options_, progress);
  ClearCancel();
  ASSERT_FALSE(report.has_value());
  EXPECT_EQ(report.error().code(), ErrorCode::kCancelled);
  EXPECT_FALSE(fs::exists(temporary_ / "out"));
}

TEST_F(ShardOutput, AMapThatCannotBeWrittenTakesItsCoreWithIt) {
  // A directory is in the map's place: it can be neither replaced nor linked over.
  fs::create_directories(temporary_ / "out" / "core.sgmap" / "full");
  options_.overwrite = Overwrite::kAllow;
  EXPECT_TRUE(ShardError().has_value());
  EXPECT_FALSE(fs::exists(temporary_ / "out" / "core.gguf"));
  EXPECT_EQ(std::distance(fs::directory_iterator(temporary_ / "out"), {}), 1);
}

// Runs sharding in a child process that may write files of at most `limit_bytes`, as on a full
// disk; returns the error's code, or -1 for success.
int ShardWithFileLimit(const fs::path& model, const ShardOptions& options, rlim_t limit_bytes) {
  const pid_t child = fork();
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{limit_bytes, limit_bytes};
    setrlimit(RLIMIT_FSIZE, &limit);
    NoProgress progress;
    const auto report = ShardModel(model, options, progress);
    _exit(report ? 255 : static_cast<int>(report.error().code()));
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  return WEXITSTATUS(status) == 255 ? -1 : WEXITSTATUS(status);
}

TEST_F(ShardOutput, AFailedWriteLeavesNothing) {
  EXPECT_EQ(ShardWithFileLimit(model(), options_, 1 << 20), static_cast<int>(ErrorCode::kIo));
  EXPECT_FALSE(fs::exists(temporary_ / "out"));
  EXPECT_EQ(ShardWithFileLimit(model(), options_, 64 << 20), -1);
}

TEST_F(ShardOutput, MoreThanTheDiskHoldsIsRefusedBeforeTheWork) {
  // A sparse tensor, larger than what is free.
  const uint64_t tensor_bytes =
      AlignUp(fs::space(temporary_.path()).available + (uint64_t{16} << 30), 4096);
  GgufWriter writer;
  const uint64_t shape[] = {tensor_bytes / 4};
  writer.AddTensor("a", kF32, shape, 0);
  const auto header = writer.Serialize();
  WriteBytes(model(), header);
  std::error_code error;
  fs::resize_file(model(), header.size() + tensor_bytes, error);
  if (error) GTEST_SKIP() << "no sparse file of this size here: " << error.message();
  EXPECT_EQ(ShardError(), ErrorCode::kNoSpace);
  EXPECT_FALSE(fs::exists(temporary_ / "out"));
}

}  // namespace
}  // namespace gguf_shard
