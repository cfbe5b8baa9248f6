// The program around its subcommands: help, wrong command lines, signals, terminals, full devices.
#include "tests/cli/program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "core/file.h"
#include "core/gguf_writer.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/testdata.h"

namespace gguf_shard {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(Program, ListsItsSubcommands) {
  const ProgramResult help = RunProgram({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  for (const char* name : {"shard", "unshard", "verify", "inspect", "run"}) {
    EXPECT_THAT(help.out, HasSubstr(name));
  }
  EXPECT_THAT(RunProgram({"shard", "--help"}).out, HasSubstr("--prefetch-distance"));
  EXPECT_THAT(RunProgram({"--version"}).out, testing::MatchesRegex("gguf-shard [0-9.]+\n"));
}

TEST(Program, ExplainsAWrongCommandLine) {
  for (const auto& arguments : std::vector<std::vector<std::string>>{
           {}, {"frobnicate"}, {"shard"}, {"verify", "--fast", "--full", "x"}, {"shard", "-Z"}}) {
    const ProgramResult result = RunProgram(arguments);
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.out, IsEmpty());
    EXPECT_THAT(result.err, HasSubstr("--help"));
  }
}

TEST(Program, AResultThatCannotBeWrittenIsAFailure) {
  const ProgramResult result =
      RunProgramInto("/dev/full", {"inspect", InTreeDataDir() / "tale-Q4_K_M.gguf"});
  EXPECT_EQ(result.exit_code, 5);
  EXPECT_THAT(result.err, HasSubstr("cannot write"));
}

// A model of 1 GiB, sparse: long enough in the works to be interrupted.
void WriteLargeModel(const fs::path& path) {
  GgufWriter writer;
  const uint64_t shape[] = {8192, 32768};
  writer.AddTensor("output.weight", TensorType::kF32, shape, 0);
  const auto header = writer.Serialize();
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(header.data()),
             static_cast<std::streamsize>(header.size()));
  fs::resize_file(path, header.size() + (uint64_t{1} << 30));
}

TEST(Program, AnInterruptionLeavesNothingBehind) {
  TemporaryDirectory temporary;
  WriteLargeModel(temporary / "large.gguf");
  for (const int signal_number : {SIGINT, SIGTERM}) {
    const ProgramResult result =
        InterruptProgram({"shard", temporary / "large.gguf", "-o", temporary / "out"},
                         signal_number, std::chrono::milliseconds(150));
    EXPECT_EQ(result.exit_code, 130);
    EXPECT_THAT(result.err, HasSubstr("interrupted"));
    EXPECT_FALSE(fs::exists(temporary / "out"));
  }
}

TEST(Program, DrawsABarOnATerminalAndLinesElsewhere) {
  TemporaryDirectory temporary;
  WriteLargeModel(temporary / "large.gguf");
  const ProgramResult terminal =
      RunProgramOnTerminal({"shard", temporary / "large.gguf", "-o", temporary / "out"});
  EXPECT_EQ(terminal.exit_code, 0);
  EXPECT_THAT(terminal.out, HasSubstr("\r\x1b[Ksharding  [#"));
  EXPECT_THAT(terminal.out, HasSubstr(" left"));
  EXPECT_THAT(terminal.out, HasSubstr("sharding: 1.00 GiB in "));

  const ProgramResult plain = RunProgram({"verify", temporary / "out"});
  EXPECT_EQ(plain.exit_code, 0);
  EXPECT_THAT(plain.err, testing::Not(HasSubstr("\r")));
  EXPECT_THAT(plain.err, HasSubstr("verifying: 1.00 GiB in "));
}

}  // namespace
}  // namespace gguf_shard
