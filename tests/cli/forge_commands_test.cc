// shard, verify, unshard as typed: results, exit codes, reports.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/cli/program.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/testdata.h"

namespace gguf_shard {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;

std::string FileText(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class ForgeCommands : public testing::Test {
 protected:
  ForgeCommands() { fs::copy_file(InTreeDataDir() / "tale-Q4_K_M.gguf", model()); }
  std::string model() const { return temporary_ / "tale.gguf"; }
  std::string map() const { return temporary_ / "tale.shard" / "core.sgmap"; }
  std::string core() const { return temporary_ / "tale.shard" / "core.gguf"; }
  void Shard() { ASSERT_EQ(RunProgram({"shard", "-q", model()}).exit_code, 0); }
  // Inverts a byte in the middle of the core.
  void DamageCore() {
    std::fstream file(core(), std::ios::binary | std::ios::in | std::ios::out);
    const auto place = static_cast<std::streamoff>(fs::file_size(core()) / 2);
    file.seekg(place);
    const char byte = static_cast<char>(~file.get());
    file.seekp(place);
    file.put(byte);
  }

  TemporaryDirectory temporary_;
};

TEST_F(ForgeCommands, VerifyRepairsFromTheSource) {
  Shard();
  const std::string good = FileText(core());
  DamageCore();
  const ProgramResult damaged = RunProgram({"verify", "-q", map()});
  EXPECT_EQ(damaged.exit_code, 6);
  EXPECT_THAT(damaged.out, HasSubstr("to repair it: gguf-shard verify "));
  const std::string other = InTreeDataDir() / "tale-bard-Q4_K_M.gguf";
  const ProgramResult wrong = RunProgram({"verify", "-q", map(), "--repair", "--source", other});
  EXPECT_EQ(wrong.exit_code, 6);
  EXPECT_THAT(wrong.out, HasSubstr("NOT repaired: the copy has other bytes there"));
  const ProgramResult right =
      RunProgram({"verify", "-q", map(), "--repair", "--source", model(), "--json"});
  EXPECT_EQ(right.exit_code, 0) << right.err;
  const nlohmann::json report = nlohmann::json::parse(right.out);
  EXPECT_EQ(report.at("intact"), true);
  EXPECT_EQ(report.at("repair").at("bad_page_count"), 1);
  EXPECT_EQ(report.at("repair").at("repaired").at(0).at("page_count"), 1);
  EXPECT_EQ(FileText(core()), good);
  EXPECT_EQ(RunProgram({"verify", map(), "--repair"}).exit_code, 2);
}

TEST_F(ForgeCommands, ShardVerifyUnshardGiveBackTheSameBytes) {
  const ProgramResult shard = RunProgram({"shard", model()});
  EXPECT_EQ(shard.exit_code, 0);
  EXPECT_THAT(shard.out, HasSubstr("core.gguf: "));
  EXPECT_THAT(shard.out, HasSubstr("tale.gguf: sha256 "));
  EXPECT_THAT(shard.err, HasSubstr("sharding: 1.7 MiB in "));

  const ProgramResult verify = RunProgram({"verify", map()});
  EXPECT_EQ(verify.exit_code, 0);
  EXPECT_THAT(verify.out, HasSubstr("intact: "));

  const std::string back = temporary_ / "back";
  const ProgramResult unshard = RunProgram({"unshard", map(), "-o", back});
  EXPECT_EQ(unshard.exit_code, 0);
  EXPECT_THAT(unshard.out, HasSubstr("as the source"));
  EXPECT_TRUE(FileText(back + "/tale.gguf") == FileText(model()));
}

TEST_F(ForgeCommands, QuietSaysNothingWhenAllIsWell) {
  for (const auto& arguments : std::vector<std::vector<std::string>>{
           {"shard", "-q", model()}, {"verify", "-q", map()}, {"unshard", "--quiet", map()}}) {
    const ProgramResult result = RunProgram(arguments);
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_THAT(result.out, IsEmpty());
    EXPECT_THAT(result.err, IsEmpty());
  }
}

TEST_F(ForgeCommands, RefusesExistingOutputsUnlessForced) {
  Shard();
  const ProgramResult refused = RunProgram({"shard", model()});
  EXPECT_EQ(refused.exit_code, 4);
  EXPECT_THAT(refused.err, HasSubstr("--force"));
  EXPECT_EQ(RunProgram({"shard", "--force", model()}).exit_code, 0);
}

TEST_F(ForgeCommands, TakesNameLayoutPrefetchAndId) {
  const ProgramResult result =
      RunProgram({"shard", "-q", model(), "-o", temporary_ / "x", "--name", "mine", "--layout",
                  "row_major", "--prefetch-distance", "3", "--core-id", std::string(32, 'a')});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const nlohmann::json map = nlohmann::json::parse(FileText(temporary_ / "x" / "mine.sgmap"));
  EXPECT_EQ(map["core"]["file"], "mine.gguf");
  EXPECT_EQ(map["core"]["id"], std::string(32, 'a'));
  EXPECT_EQ(map["atlas"]["prefetch_distance"], 3);
  EXPECT_EQ(map["atlas"]["memory_layout"], "row_major");
  for (const nlohmann::json& shard : map["shards"]) EXPECT_EQ(shard["layout"], "row_major");
}

TEST_F(ForgeCommands, ReportsShardingAsJson) {
  const ProgramResult result = RunProgram({"shard", "--json", model()});
  const nlohmann::json report = nlohmann::json::parse(result.out);
  EXPECT_EQ(report["core"], core());
  EXPECT_EQ(report["map"], map());
  EXPECT_EQ(report["source_bytes"], fs::file_size(model()));
  EXPECT_EQ(report["core_bytes"], fs::file_size(core()));
}

TEST_F(ForgeCommands, VerifyNamesTheDamage) {
  Shard();
  DamageCore();
  const ProgramResult text = RunProgram({"verify", map()});
  EXPECT_EQ(text.exit_code, 6);
  EXPECT_THAT(text.out, HasSubstr("fails its tag"));
  EXPECT_THAT(text.out, HasSubstr("DAMAGED: 1 bad pages"));

  const ProgramResult fast = RunProgram({"verify", "--fast", "--json", map()});
  EXPECT_EQ(fast.exit_code, 6);
  const nlohmann::json report = nlohmann::json::parse(fast.out);
  EXPECT_EQ(report["intact"], false);
  EXPECT_EQ(report["depth"], "fast");
  EXPECT_EQ(report["bad_page_count"], 1);
  ASSERT_EQ(report["bad_pages"].size(), 1u);
  EXPECT_EQ(report["bad_pages"][0]["fault"], "bad_tag");
  EXPECT_THAT(report["bad_pages"][0]["tensor"].get<std::string>(), HasSubstr("blk."));
}

TEST_F(ForgeCommands, VerifyReportsWhatKeepsItFromChecking) {
  Shard();
  fs::resize_file(core(), fs::file_size(core()) - 4096);
  const ProgramResult result = RunProgram({"verify", "--json", map()});
  EXPECT_EQ(result.exit_code, 7);
  const nlohmann::json report = nlohmann::json::parse(result.out);
  EXPECT_EQ(report["intact"], false);
  EXPECT_EQ(report["error"]["code"], "truncated");
  EXPECT_EQ(report["error"]["file"], core());
}

TEST_F(ForgeCommands, AnotherCoresMapIsAMismatch) {
  Shard();
  ASSERT_EQ(RunProgram({"shard", "-q", model(), "-o", temporary_ / "other"}).exit_code, 0);
  fs::copy_file(temporary_ / "other" / "core.sgmap", map(), fs::copy_options::overwrite_existing);
  EXPECT_EQ(RunProgram({"verify", map()}).exit_code, 9);
}

TEST_F(ForgeCommands, UnshardRefusesDamage) {
  Shard();
  DamageCore();
  const ProgramResult result = RunProgram({"unshard", map(), "-o", temporary_ / "back"});
  EXPECT_EQ(result.exit_code, 6);
  EXPECT_THAT(result.err, HasSubstr("tensor blk."));
  EXPECT_FALSE(fs::exists(temporary_ / "back"));
}

TEST_F(ForgeCommands, ExitCodesTellWhatWentWrong) {
  EXPECT_EQ(RunProgram({"shard", temporary_ / "none.gguf"}).exit_code, 3);
  EXPECT_EQ(RunProgram({"verify", temporary_ / "none.sgmap"}).exit_code, 3);
  EXPECT_EQ(RunProgram({"shard", model(), "--layout", "diagonal"}).exit_code, 2);
  EXPECT_EQ(RunProgram({"shard", model(), "--core-id", "12"}).exit_code, 7);
  EXPECT_EQ(RunProgram({"shard", model(), "--name", "a/b"}).exit_code, 2);
  std::ofstream(temporary_ / "text.gguf") << "this is no model";
  EXPECT_EQ(RunProgram({"shard", temporary_ / "text.gguf"}).exit_code, 7);
  Shard();
  EXPECT_EQ(RunProgram({"shard", core()}).exit_code, 8);
}

}  // namespace
}  // namespace gguf_shard
