// validate as typed: verdicts, exit codes, reports for people, programs and build servers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/file.h"
#include "tests/cli/program.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/testdata.h"

namespace gguf_shard {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class ValidateCommand : public testing::Test {
 protected:
  ValidateCommand() {
    const std::string model = InTreeDataDir() / "tale-Q4_K_M.gguf";
    EXPECT_EQ(RunProgram({"shard", "-q", model, "-o", folder()}).exit_code, 0);
  }

  std::string folder() const { return temporary_ / "tale"; }
  std::string Path(const std::string& name) const { return temporary_ / name; }
  std::string Text(const std::string& name) const {
    return ReadWholeFile(temporary_ / name, uint64_t{64} << 20).value_or("");
  }
  // Zeros in the middle of the core.
  void DamageCore() const {
    std::fstream file(Path("tale/core.gguf"), std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(fs::file_size(Path("tale/core.gguf")) / 2));
    file << std::string(64, '\0');
  }

  TemporaryDirectory temporary_;
};

TEST_F(ValidateCommand, AnIntactCoreEndsWithZeroAndAllReports) {
  const ProgramResult result =
      RunProgram({"validate", folder(), "--only", "core", "--device", "cpu", "--report",
                  Path("r.json"), "--report", Path("r.html"), "--report", Path("r.junit.xml")});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("passed   core.pages"));
  EXPECT_THAT(result.out, HasSubstr("INTACT: every promise held (4 passed, 0 damaged"));
  const nlohmann::json report = nlohmann::json::parse(Text("r.json"));
  EXPECT_EQ(report.at("verdict"), "held");
  EXPECT_EQ(report.at("checks").size(), 4u);
  EXPECT_THAT(Text("r.html"), HasSubstr("<h1>Intact."));
  EXPECT_THAT(Text("r.junit.xml"), HasSubstr("tests=\"4\" failures=\"0\" skipped=\"0\""));
}

TEST_F(ValidateCommand, ADamagedCoreEndsWithSixAndNamesThePage) {
  DamageCore();
  const ProgramResult result = RunProgram({"validate", folder(), "-q", "--device", "cpu",
                                           "--report", Path("r.junit.xml"), "--faults", "70"});
  EXPECT_EQ(result.exit_code, 6) << result.err;
  EXPECT_THAT(result.out, HasSubstr("damaged  core.pages"));
  EXPECT_THAT(result.out, HasSubstr("(layer "));
  EXPECT_THAT(result.out, HasSubstr(", page "));
  EXPECT_THAT(result.out, HasSubstr("again: gguf-shard validate "));
  EXPECT_THAT(result.out, HasSubstr("--repair --from GOOD_COPY"));
  EXPECT_THAT(Text("r.junit.xml"), HasSubstr("failures=\"2\""));
}

TEST_F(ValidateCommand, QuietSaysNothingWhenAllIsWell) {
  const ProgramResult result =
      RunProgram({"validate", "-q", folder(), "--only", "pages", "--faults", "70"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out + result.err, IsEmpty());
}

TEST_F(ValidateCommand, CtrlCEndsItAndLeavesNoCopies) {
  const std::string scratch = Path("scratch");
  fs::create_directories(scratch);
  const ProgramResult result = InterruptProgram(
      {"validate", folder(), "--only", "run.soak", "--soak", "600", "--scratch", scratch}, SIGINT,
      std::chrono::milliseconds(700));
  EXPECT_EQ(result.exit_code, 130) << result.err;
  EXPECT_THAT(result.out, HasSubstr("INTERRUPTED"));
  EXPECT_TRUE(fs::is_empty(scratch));
}

TEST_F(ValidateCommand, WrongArgumentsAreRefused) {
  EXPECT_EQ(RunProgram({"validate"}).exit_code, 2);
  EXPECT_EQ(RunProgram({"validate", folder(), "--quick", "--full"}).exit_code, 2);
  const ProgramResult ending = RunProgram({"validate", folder(), "--report", Path("r.txt")});
  EXPECT_EQ(ending.exit_code, 2);
  EXPECT_THAT(ending.out, Not(HasSubstr("passed")));
  const ProgramResult name = RunProgram({"validate", folder(), "--only", "pages.bitflip"});
  EXPECT_EQ(name.exit_code, 2);
  EXPECT_THAT(name.err, HasSubstr("pages.bit_flip"));
}

}  // namespace
}  // namespace gguf_shard
