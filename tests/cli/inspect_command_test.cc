// inspect: a GGUF, a core, a map; for people and for programs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/cli/program.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/testdata.h"

namespace gguf_shard {
namespace {

using testing::HasSubstr;

class InspectCommand : public testing::Test {
 protected:
  std::string model() const { return InTreeDataDir() / "tale-Q4_K_M.gguf"; }
  std::string directory() const { return temporary_ / "out"; }
  void Shard() { ASSERT_EQ(RunProgram({"shard", "-q", model(), "-o", directory()}).exit_code, 0); }
  nlohmann::json Inspect(const std::string& path) {
    const ProgramResult result = RunProgram({"inspect", "--json", path});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return nlohmann::json::parse(result.out);
  }

  TemporaryDirectory temporary_;
};

TEST_F(InspectCommand, ShowsAGgufForPeople) {
  const ProgramResult result = RunProgram({"inspect", model()});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, HasSubstr("general.architecture"));
  EXPECT_THAT(result.out, HasSubstr("Tale 2.9M"));
  EXPECT_THAT(result.out, HasSubstr("1024 x string"));
  EXPECT_THAT(result.out, HasSubstr("column_major 28x256"));
  EXPECT_THAT(result.out, HasSubstr("page tags"));
}

TEST_F(InspectCommand, ShowsAGgufForPrograms) {
  const nlohmann::json shown = Inspect(model());
  EXPECT_EQ(shown["kind"], "gguf");
  EXPECT_EQ(shown["files"][0]["name"], "tale-Q4_K_M.gguf");
  EXPECT_EQ(shown["metadata"]["llama.block_count"], 4);
  EXPECT_EQ(shown["metadata"]["tokenizer.ggml.tokens"]["count"], 1024);
  EXPECT_EQ(shown["metadata"]["tokenizer.ggml.tokens"]["first"].size(), 8u);
  EXPECT_EQ(shown["tensors"].size(), 39u);
  EXPECT_GT(shown["if_sharded"]["page_count"], 400);
}

TEST_F(InspectCommand, ShowsTheSameCoreByAnyOfItsNames) {
  Shard();
  const nlohmann::json by_map = Inspect(directory() + "/core.sgmap");
  EXPECT_EQ(by_map["kind"], "core");
  EXPECT_EQ(by_map["tensors"].size(), 39u);
  EXPECT_EQ(by_map, Inspect(directory()));
  EXPECT_EQ(by_map, Inspect(directory() + "/core.gguf"));
}

TEST_F(InspectCommand, AccountsForEveryByteOfOverhead) {
  Shard();
  const nlohmann::json overhead = Inspect(directory())["overhead"];
  EXPECT_EQ(overhead["source_bytes"], std::filesystem::file_size(model()));
  EXPECT_EQ(overhead["core_bytes"], std::filesystem::file_size(directory() + "/core.gguf"));
  const int64_t parts =
      overhead["tag_bytes"].get<int64_t>() + overhead["padding_bytes"].get<int64_t>() +
      overhead["index_bytes"].get<int64_t>() + overhead["core_header_bytes"].get<int64_t>() -
      overhead["dropped_source_padding_bytes"].get<int64_t>();
  EXPECT_EQ(overhead["total_bytes"], parts);
  EXPECT_EQ(overhead["total_bytes"].get<int64_t>(),
            overhead["core_bytes"].get<int64_t>() - overhead["source_bytes"].get<int64_t>());
}

TEST_F(InspectCommand, ShowsACoreWithoutItsMapAsAGgufOfPages) {
  Shard();
  std::filesystem::remove(directory() + "/core.sgmap");
  const nlohmann::json shown = Inspect(directory() + "/core.gguf");
  EXPECT_EQ(shown["kind"], "gguf");
  EXPECT_EQ(shown["metadata"]["general.architecture"], "gguf_shard");
  EXPECT_EQ(shown["tensors"][0]["name"], "gguf_shard.source_header");
}

TEST_F(InspectCommand, ShowsVocabularyOnlyAndSplitModels) {
  GS_REQUIRE_TESTDATA();
  const nlohmann::json vocabulary = Inspect(TestDataDir() / "vocab" / "llama-spm.gguf");
  EXPECT_EQ(vocabulary["tensors"].size(), 0u);
  EXPECT_EQ(vocabulary["metadata"]["tokenizer.ggml.tokens"]["count"], 32000);
  for (const auto& part : std::filesystem::directory_iterator(TestDataDir() / "models" / "split")) {
    EXPECT_EQ(Inspect(part.path())["files"].size(), 3u);
  }
}

TEST_F(InspectCommand, SaysWhatIsNotAModel) {
  EXPECT_EQ(RunProgram({"inspect", temporary_ / "nothing"}).exit_code, 3);
  EXPECT_EQ(RunProgram({"inspect", temporary_.path()}).exit_code, 3);
  EXPECT_EQ(RunProgram({"inspect", InTreeDataDir() / "README.md"}).exit_code, 7);
}

}  // namespace
}  // namespace gguf_shard
