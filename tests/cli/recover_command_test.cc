// A core whose in-place patch was killed: every command that opens it brings it back first.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "core/file_operations.h"
#include "delta/apply.h"
#include "delta/core_place.h"
#include "delta/in_place.h"
#include "tests/cli/program.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/testdata.h"

namespace gguf_shard {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;

// kill -9 at the first write after the map was removed: the core is neither base nor target.
class KillWhileWriting final : public FileOperations {
 public:
  explicit KillWhileWriting(fs::path map_path) : map_path_(std::move(map_path)) {}

  ssize_t Write(int descriptor, const void* source, size_t bytes, off_t offset) override {
    if (fs::exists(map_path_)) {
      return FileOperations::Write(descriptor, source, bytes, offset);
    }
    static_cast<void>(FileOperations::Write(descriptor, source, bytes / 2, offset));
    raise(SIGKILL);
    return -1;
  }

 private:
  fs::path map_path_;
};

class RecoverCommand : public testing::Test {
 protected:
  void SetUp() override {
    const auto base = (InTreeDataDir() / "tale-Q4_K_M.gguf").string();
    const auto target = (InTreeDataDir() / "tale-bard-Q4_K_M.gguf").string();
    ASSERT_EQ(RunProgram({"shard", "-q", base, "-o", core_}).exit_code, 0);
    ASSERT_EQ(RunProgram({"delta", "create", "-q", "--level", "fast", "--base", base, "--target",
                          target, "-o", patch_})
                  .exit_code,
              0);
  }

  Result<void> ApplyHere() const {
    NoProgress progress;
    GS_ASSIGN(const OpenedModel model, OpenModel(core_));
    GS_ASSIGN(const PatchReader reader, PatchReader::Open(patch_));
    GS_ASSIGN(const auto view, PatchedView::Create(reader, *model.view));
    GS_TRY(ApplyInPlace(reader, *view, *model.core, {1, Overwrite::kAllow}, progress));
    return {};
  }

  void KillInPlaceApply() {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      KillWhileWriting operations(map());
      const ScopedFileOperations scoped(operations);
      static_cast<void>(ApplyHere());
      _exit(0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
    ASSERT_TRUE(fs::exists(journal()));
    ASSERT_FALSE(fs::exists(map()));
  }

  std::string map() const { return core_ + "/core.sgmap"; }
  std::string core() const { return core_ + "/core.gguf"; }
  std::string journal() const { return core() + ".journal"; }

  TemporaryDirectory temporary_;
  std::string core_ = temporary_ / "core";
  std::string patch_ = temporary_ / "p.sgdelta";
};

TEST_F(RecoverCommand, EveryCommandBringsAKilledPatchBackAndGoesOn) {
  const std::string back = temporary_ / "back";
  const std::vector<std::vector<std::string>> commands = {
      {"verify", "--full", map()},
      {"verify", core_},
      {"inspect", map()},
      {"inspect", core()},
      {"unshard", map(), "-o", back},
      {"logits", map(), "--tokens", "1"},
      {"run", core_, "-p", "Once", "-n", "1"},
      {"run", core(), "-p", "Once", "-n", "1"},
      {"tokenize", map(), "-p", "Once"},
      {"delta", "verify", patch_, "--base", core_},
      {"delta", "apply", "--base", core_, "--patch", patch_, "-o", temporary_ / "out.gguf"}};
  for (const auto& command : commands) {
    SCOPED_TRACE(command[0] + " " + command[1]);
    KillInPlaceApply();
    const ProgramResult result = RunProgram(command);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.err, HasSubstr("an interrupted in-place patch was rolled back\n"));
    EXPECT_FALSE(fs::exists(journal()));
    const ProgramResult again = RunProgram({"verify", "-q", "--full", map()});
    EXPECT_EQ(again.exit_code, 0) << again.err;
    EXPECT_THAT(again.err, IsEmpty());
  }
}

TEST_F(RecoverCommand, WhileThePatchingProcessLivesTheCoreIsLeftAlone) {
  KillInPlaceApply();
  const auto place = FindCore(core_);
  ASSERT_TRUE(place);
  {
    const auto locked = LockCore(*place);
    ASSERT_TRUE(locked) << locked.error().ToString();
    for (const auto& command : std::vector<std::vector<std::string>>{
             {"verify", map()}, {"inspect", core_}, {"delta", "undo", core_}}) {
      const ProgramResult result = RunProgram(command);
      EXPECT_NE(result.exit_code, 0);
      EXPECT_THAT(result.err, HasSubstr("patched in place by another process"));
      EXPECT_TRUE(fs::exists(journal()));
    }
  }
  EXPECT_EQ(RunProgram({"verify", "-q", map()}).exit_code, 0);
}

TEST_F(RecoverCommand, UndoDataOfACoreThatWasReplacedIsRefused) {
  ASSERT_TRUE(ApplyHere());
  ASSERT_TRUE(fs::exists(core() + ".undo-1"));
  const auto base = (InTreeDataDir() / "tale-Q4_K_M.gguf").string();
  ASSERT_EQ(RunProgram({"shard", "-q", "--force", base, "-o", core_}).exit_code, 0);
  const ProgramResult undo = RunProgram({"delta", "undo", core_});
  EXPECT_NE(undo.exit_code, 0);
  EXPECT_THAT(undo.err, HasSubstr("belongs to another core"));
  EXPECT_EQ(RunProgram({"verify", "-q", "--full", map()}).exit_code, 0);
}

TEST_F(RecoverCommand, AJournalOfACoreThatWasReplacedIsDropped) {
  KillInPlaceApply();
  const auto base = (InTreeDataDir() / "tale-Q4_K_M.gguf").string();
  ASSERT_EQ(RunProgram({"shard", "-q", "--force", base, "-o", core_}).exit_code, 0);
  const ProgramResult result = RunProgram({"verify", "--full", map()});
  EXPECT_EQ(result.exit_code, 0) << result.err << result.out;
  EXPECT_FALSE(fs::exists(journal()));
}

}  // namespace
}  // namespace gguf_shard
