// Files: exact reads, outputs that appear complete or not at all.
#include "core/file.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <fstream>

#include "core/bytes.h"
#include "core/edit_file.h"
#include "core/file_operations.h"
#include "tests/support/temporary_directory.h"

namespace gguf_shard {
namespace {

size_t CountEntries(const std::filesystem::path& directory) {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(directory)) ++count;
  return count;
}

TEST(OutputFile, AppearsOnlyAtCommit) {
  const TemporaryDirectory directory;
  const auto path = directory / "out";
  auto output = OutputFile::Create(path, Overwrite::kRefuse);
  ASSERT_TRUE(output.has_value());
  ASSERT_TRUE(output->WriteAt(0, AsBytes("hello")).has_value());
  EXPECT_FALSE(std::filesystem::exists(path));
  ASSERT_TRUE(output->Commit().has_value());
  EXPECT_EQ(*ReadWholeFile(path, 100), "hello");
  EXPECT_EQ(CountEntries(directory.path()), 1u);
}

TEST(OutputFile, LeavesNothingWhenDropped) {
  const TemporaryDirectory directory;
  {
    auto output = OutputFile::Create(directory / "out", Overwrite::kRefuse);
    ASSERT_TRUE(output.has_value());
    ASSERT_TRUE(output->WriteAt(0, AsBytes("hello")).has_value());
  }
  EXPECT_EQ(CountEntries(directory.path()), 0u);
}

TEST(OutputFile, RefusesAnExistingFileUnlessForced) {
  const TemporaryDirectory directory;
  const auto path = directory / "out";
  ASSERT_TRUE(WriteWholeFile(path, "old", Overwrite::kRefuse).has_value());
  const auto refused = WriteWholeFile(path, "new", Overwrite::kRefuse);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), ErrorCode::kAlreadyExists);
  EXPECT_EQ(*ReadWholeFile(path, 100), "old");
  ASSERT_TRUE(WriteWholeFile(path, "new", Overwrite::kAllow).has_value());
  EXPECT_EQ(*ReadWholeFile(path, 100), "new");
  EXPECT_EQ(CountEntries(directory.path()), 1u);
}

TEST(OutputFile, RefusesAFileThatAppearedMeanwhile) {
  const TemporaryDirectory directory;
  const auto path = directory / "out";
  auto output = OutputFile::Create(path, Overwrite::kRefuse);
  ASSERT_TRUE(output.has_value());
  std::ofstream(path) << "somebody else's";
  const auto committed = output->Commit();
  ASSERT_FALSE(committed.has_value());
  EXPECT_EQ(committed.error().code(), ErrorCode::kAlreadyExists);
  EXPECT_EQ(*ReadWholeFile(path, 100), "somebody else's");
}

TEST(File, ReadBeyondTheEndIsTruncatedWithNumbers) {
  const TemporaryDirectory directory;
  ASSERT_TRUE(WriteWholeFile(directory / "f", "0123456789", Overwrite::kRefuse).has_value());
  const auto file = File::OpenRead(directory / "f");
  ASSERT_TRUE(file.has_value());
  EXPECT_EQ(file->size_bytes(), 10u);
  std::byte target[8];
  const auto read = file->ReadAt(5, target);
  ASSERT_FALSE(read.has_value());
  EXPECT_EQ(read.error().code(), ErrorCode::kTruncated);
  EXPECT_EQ(read.error().byte_offset(), 5u);
  EXPECT_EQ(read.error().expected(), "8");
  EXPECT_EQ(read.error().found(), "5");
}

TEST(File, MissingFileAndDirectoryAreErrors) {
  const TemporaryDirectory directory;
  const auto missing = File::OpenRead(directory / "none");
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(missing.error().code(), ErrorCode::kNotFound);
  const auto not_a_file = File::OpenRead(directory.path());
  ASSERT_FALSE(not_a_file.has_value());
  EXPECT_EQ(not_a_file.error().code(), ErrorCode::kInvalidArgument);
}

TEST(File, WholeFileAboveTheLimitIsRefused) {
  const TemporaryDirectory directory;
  ASSERT_TRUE(WriteWholeFile(directory / "f", "0123456789", Overwrite::kRefuse).has_value());
  const auto text = ReadWholeFile(directory / "f", 9);
  ASSERT_FALSE(text.has_value());
  EXPECT_EQ(text.error().code(), ErrorCode::kTooLarge);
}

TEST(FreeSpace, AnImpossibleAmountIsRefused) {
  const TemporaryDirectory directory;
  EXPECT_TRUE(CheckFreeSpace(directory.path(), 1).has_value());
  const auto refused = CheckFreeSpace(directory.path(), uint64_t{1} << 60);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), ErrorCode::kNoSpace);
}

TEST(Directories, MissingLevelsAreMadeAndNamed) {
  const TemporaryDirectory dir;
  const std::filesystem::path deep = dir / "a" / "b" / "c";
  const auto made = MakeDirectories(deep / "");
  ASSERT_TRUE(made) << made.error().ToString();
  EXPECT_EQ(*made, (std::vector<std::filesystem::path>{dir / "a", dir / "a" / "b", deep}));
  EXPECT_TRUE(std::filesystem::is_directory(deep));
  EXPECT_TRUE(MakeDirectories(deep)->empty());
  ASSERT_TRUE(WriteWholeFile(dir / "a" / "kept", "x", Overwrite::kRefuse));
  RemoveDirectories(*made);
  EXPECT_FALSE(std::filesystem::exists(dir / "a" / "b"));
  EXPECT_TRUE(std::filesystem::exists(dir / "a" / "kept"));
}

TEST(Directories, NothingIsLeftWhenOneCannotBeMade) {
  class SecondFails final : public FileOperations {
   public:
    int MakeDirectory(const char* path, mode_t mode) override {
      if (++count_ < 2) return FileOperations::MakeDirectory(path, mode);
      errno = ENOSPC;
      return -1;
    }

   private:
    int count_ = 0;
  };
  const TemporaryDirectory dir;
  SecondFails operations;
  const ScopedFileOperations scope(operations);
  const auto made = MakeDirectories(dir / "a" / "b");
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code(), ErrorCode::kNoSpace);
  EXPECT_EQ(made.error().file(), (dir / "a" / "b").string());
  EXPECT_FALSE(std::filesystem::exists(dir / "a"));
}

}  // namespace
}  // namespace gguf_shard
