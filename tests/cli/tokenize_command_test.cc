// gguf-shard tokenize: what it prints and how it fails.
#include <gtest/gtest.h>

#include "cli/cli.h"
#include "cli/exit_codes.h"
#include "core/file.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/testdata.h"

namespace gguf_shard {
namespace {

struct Outcome {
  ExitCode code;
  std::string out;
  std::string err;
};

Outcome RunTokenize(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "gguf-shard");
  std::vector<const char*> argv;
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  const int code = RunCli(static_cast<int>(argv.size()), argv.data());
  Outcome outcome{static_cast<ExitCode>(code), testing::internal::GetCapturedStdout(),
                  testing::internal::GetCapturedStderr()};
  return outcome;
}

TEST(TokenizeCommand, PrintsOneLineOfIdsForEachText) {
  const Outcome outcome = RunTokenize(
      {"tokenize", InTreeModel(), "-p", "Once upon a time", "-p", "", "-p", "The old dog"});
  EXPECT_EQ(outcome.out, "1 405 428 261 379\n1\n1 295 670 787\n");
  EXPECT_EQ(outcome.code, ExitCode::kSuccess);
}

TEST(TokenizeCommand, TakesAFileAsOneText) {
  const TemporaryDirectory directory;
  const auto path = directory / "prompt.txt";
  ASSERT_TRUE(WriteWholeFile(path, "Once upon\na time", Overwrite::kRefuse));
  const Outcome outcome =
      RunTokenize({"tokenize", InTreeModel(), "--no-bos", "--file", path.string()});
  EXPECT_EQ(outcome.out, "405 428 13 957 379\n");
}

TEST(TokenizeCommand, LeavesOutBosAndSpecialTokensWhenTold) {
  EXPECT_EQ(RunTokenize({"tokenize", InTreeModel(), "-p", "</s>"}).out, "1 2\n");
  EXPECT_EQ(RunTokenize({"tokenize", InTreeModel(), "--no-bos", "-p", "</s>"}).out, "2\n");
  const std::string plain =
      RunTokenize({"tokenize", InTreeModel(), "--no-special", "-p", "</s>"}).out;
  EXPECT_EQ(plain.substr(0, 2), "1 ");
  EXPECT_GT(plain.size(), 6U);  // several ordinary tokens
}

TEST(TokenizeCommand, TakesABracketedTextAsItIs) {
  EXPECT_EQ(RunTokenize({"tokenize", InTreeModel(), "-p", "[a,b]"}).out,
            "1 955 94 957 978 976 96\n");
}

TEST(TokenizeCommand, ReadsTheModelThatACoreKeeps) {
  const TemporaryDirectory directory;
  const std::string core = (directory / "core").string();
  ASSERT_EQ(RunTokenize({"shard", InTreeModel(), "-o", core, "-q"}).code, ExitCode::kSuccess);
  for (const char* name : {"", "/core.sgmap", "/core.gguf"}) {
    EXPECT_EQ(RunTokenize({"tokenize", core + name, "-p", "Once upon a time"}).out,
              "1 405 428 261 379\n");
  }
}

TEST(TokenizeCommand, ReadsVocabularyOnlyFiles) {
  GS_REQUIRE_TESTDATA();
  const std::string vocab = (TestDataDir() / "vocab" / "llama-bpe.gguf").string();
  EXPECT_EQ(RunTokenize({"tokenize", vocab, "-p", "Hello world<|eot_id|>"}).out,
            "128000 9906 1917 128009\n");
}

TEST(TokenizeCommand, NeedsATextOrAFile) {
  EXPECT_EQ(RunTokenize({"tokenize", InTreeModel()}).code, ExitCode::kUsage);
  EXPECT_EQ(RunTokenize({"tokenize", InTreeModel(), "-p", "a", "--file", "b"}).code,
            ExitCode::kUsage);
}

// The parser took an empty word for the name of a group of options, and never came back.
TEST(TokenizeCommand, RefusesEmptyWordsBetweenUnknownOptions) {
  for (const char* command : {"tokenize", "logits"}) {
    EXPECT_EQ(RunTokenize({command, InTreeModel(), "--a", "", "--b", ""}).code, ExitCode::kUsage);
  }
}

TEST(TokenizeCommand, SaysWhatItCanNotRead) {
  EXPECT_EQ(RunTokenize({"tokenize", "/no/such/model.gguf", "-p", "a"}).code, ExitCode::kNotFound);
  EXPECT_EQ(RunTokenize({"tokenize", InTreeModel(), "--file", "/no/such/text"}).code,
            ExitCode::kNotFound);
  GS_REQUIRE_TESTDATA();
  const std::string bert = (TestDataDir() / "vocab" / "bert-bge.gguf").string();
  const Outcome outcome = RunTokenize({"tokenize", bert, "-p", "a"});
  EXPECT_EQ(outcome.code, ExitCode::kUnsupported);
  EXPECT_NE(outcome.err.find("bert"), std::string::npos);
}

}  // namespace
}  // namespace gguf_shard
