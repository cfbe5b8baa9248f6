// gguf-shard run, logits and perplexity: what they print, and how they end.
#include <gtest/gtest.h>
#include <signal.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/core_file.h"
#include "core/edit_file.h"
#include "core/file.h"
#include "tests/cli/program.h"
#include "tests/support/json_file.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/testdata.h"

namespace gguf_shard {
namespace {

nlohmann::json GoldenCase(size_t index) {
  return ReadJson(InTreeDataDir() / "golden/tale-Q4_K_M.json").at("cases").at(index);
}

class RunCommandTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const ProgramResult sharded = RunProgram({"shard", InTreeModel(), "-o", Core(), "--quiet"});
    ASSERT_EQ(sharded.exit_code, 0) << sharded.err;
  }

  std::string Core() const { return (directory_ / "core").string(); }

  TemporaryDirectory directory_;
};

// A page whose write was lost: its old content with a tag that is right for it.
void MakePageStale(const std::filesystem::path& directory, uint64_t page_index) {
  const auto core = CoreFile::Open(directory);
  ASSERT_TRUE(core) << core.error().ToString();
  std::vector<std::byte> page(kPageBytes);
  ASSERT_TRUE(core->ReadRaw(page_index, page));
  page[7] ^= std::byte{2};
  SealPage(core->map().core.id, page_index, PageAt(page.data(), 0));
  auto file = EditFile::Open(core->file().path());
  ASSERT_TRUE(file);
  ASSERT_TRUE(file->WriteAt(core->page_offset(page_index), page));
}

TEST_F(RunCommandTest, AnOldVersionOfAPageIsNotComputedWith) {
  const auto core = CoreFile::Open(Core());
  ASSERT_TRUE(core);
  const MapTensor* tensor = core->map().FindTensor("blk.1.ffn_up.weight");
  ASSERT_NE(tensor, nullptr);
  MakePageStale(Core(), tensor->first_page + 1);
  const ProgramResult plain = RunProgram({"run", Core(), "-p", "Once", "-n", "2"});
  EXPECT_EQ(plain.exit_code, 6);
  EXPECT_NE(plain.err.find("an old version"), std::string::npos) << plain.err;
  EXPECT_NE(plain.err.find("blk.1.ffn_up.weight"), std::string::npos) << plain.err;
  // Nor predicted from: the patch changes this tensor.
  const std::string patch = (directory_ / "p.sgdelta").string();
  const std::string bard = (InTreeDataDir() / "tale-bard-Q4_K_M.gguf").string();
  ASSERT_EQ(RunProgram({"delta", "create", "--base", InTreeModel(), "--target", bard, "-o", patch,
                        "--quiet"})
                .exit_code,
            0);
  const ProgramResult patched =
      RunProgram({"run", Core(), "--patch", patch, "-p", "Once", "-n", "2"});
  EXPECT_EQ(patched.exit_code, 6) << patched.out;
  EXPECT_NE(patched.err.find("an old version"), std::string::npos) << patched.err;
}

// The patch changes one weight of the last tensor: all other pages are read as the base has them.
TEST_F(RunCommandTest, DamagedPagesThatAPatchLeavesAloneAreFound) {
  auto bytes = ReadWholeFile(InTreeModel(), uint64_t{1} << 30).value();
  bytes[bytes.size() - 3] = static_cast<char>(bytes[bytes.size() - 3] ^ 1);
  const std::string target = (directory_ / "target.gguf").string();
  ASSERT_TRUE(WriteWholeFile(target, bytes, Overwrite::kRefuse));
  const std::string patch = (directory_ / "p.sgdelta").string();
  ASSERT_EQ(RunProgram({"delta", "create", "--base", InTreeModel(), "--target", target, "-o", patch,
                        "--quiet"})
                .exit_code,
            0);
  const std::vector<std::string> run = {"run", Core(), "--patch", patch, "-p", "Once", "-n", "2"};
  const ProgramResult whole = RunProgram(run);
  ASSERT_EQ(whole.exit_code, 0) << whole.err;

  const auto core = CoreFile::Open(Core());
  ASSERT_TRUE(core);
  const uint64_t page_index = core->map().FindTensor("blk.1.ffn_up.weight")->first_page + 1;
  std::vector<std::byte> page(kPageBytes);
  ASSERT_TRUE(core->ReadRaw(page_index, page));
  MakePageStale(Core(), page_index);
  const ProgramResult stale = RunProgram(run);
  EXPECT_EQ(stale.exit_code, 6) << stale.out;
  EXPECT_NE(stale.err.find("an old version"), std::string::npos) << stale.err;
  EXPECT_NE(stale.err.find("blk.1.ffn_up.weight"), std::string::npos) << stale.err;
  page[9] ^= std::byte{4};
  auto file = EditFile::Open(core->file().path());
  ASSERT_TRUE(file);
  ASSERT_TRUE(file->WriteAt(core->page_offset(page_index), page));
  const ProgramResult damaged = RunProgram(run);
  EXPECT_EQ(damaged.exit_code, 6) << damaged.out;
  EXPECT_NE(damaged.err.find("blk.1.ffn_up.weight"), std::string::npos) << damaged.err;
}

TEST_F(RunCommandTest, ADamagedIndexIsNotTrusted) {
  const auto core = CoreFile::Open(Core());
  ASSERT_TRUE(core);
  MakePageStale(Core(), core->map().core.index.first_page);
  const ProgramResult result = RunProgram({"run", Core(), "-p", "Once", "-n", "2"});
  EXPECT_EQ(result.exit_code, 6);
  EXPECT_NE(result.err.find("index"), std::string::npos) << result.err;
}

TEST_F(RunCommandTest, PrintsTheGreedyTextAndTheStatistics) {
  const auto golden = GoldenCase(0);
  const ProgramResult result =
      RunProgram({"run", Core(), "-p", golden.at("prompt"), "-n",
                  std::to_string(golden.at("greedy").size()), "--temp", "0", "--pool", "600K"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, golden.at("text").get<std::string>() + "\n");
  for (const char* word : {"tokens/s", "hits", "covered by prefetch", "stalls", "read", "evictions",
                           "600.0 KiB", "resident at most", "token_limit"}) {
    EXPECT_NE(result.err.find(word), std::string::npos) << word << " is not in:\n" << result.err;
  }
}

TEST_F(RunCommandTest, EchoesThePromptAndKeepsQuietWhenTold) {
  const ProgramResult result =
      RunProgram({"run", Core(), "-p", "Once upon a time", "-n", "3", "--echo", "--quiet"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.out.rfind("Once upon a time", 0), 0u) << result.out;
  EXPECT_EQ(result.err, "");
}

TEST_F(RunCommandTest, StatisticsFileHoldsWhatHappened) {
  const auto file = directory_ / "stats.json";
  const ProgramResult result = RunProgram({"run",
                                           Core(),
                                           "-p",
                                           "Once upon a time",
                                           "-n",
                                           "20",
                                           "--temp",
                                           "0",
                                           "--pool",
                                           "500K",
                                           "--threads",
                                           "2",
                                           "--ctx",
                                           "64",
                                           "--batch",
                                           "4",
                                           "--kv-type",
                                           "q8_0",
                                           "--prefetch-distance",
                                           "3",
                                           "--stats",
                                           file.string()});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto stats = ReadJson(file);
  ASSERT_TRUE(stats.is_object());
  EXPECT_EQ(stats.at("prompt_tokens"), 5);
  EXPECT_EQ(stats.at("generated_tokens"), 20);
  EXPECT_EQ(stats.at("stop_reason"), "token_limit");
  EXPECT_EQ(stats.at("threads"), 2);
  EXPECT_EQ(stats.at("context_length"), 64);
  EXPECT_EQ(stats.at("batch_tokens"), 4);
  EXPECT_EQ(stats.at("kv_type"), "q8_0");
  EXPECT_LE(stats.at("peak_pool_bytes"), 500 * 1024);
  EXPECT_GT(stats.at("bytes_read"), stats.at("pool_bytes"));
  EXPECT_GT(stats.at("bytes_read_per_generated_token"), 0);
  EXPECT_GT(stats.at("peak_resident_bytes"), 0);
  EXPECT_GT(stats.at("time_to_first_token_seconds"), 0);
}

TEST_F(RunCommandTest, KeepsAMemoryBudgetAndNamesTheSmallest) {
  const ProgramResult refused = RunProgram({"run", Core(), "-p", "Once", "--memory-budget", "2M"});
  EXPECT_EQ(refused.exit_code, 12);
  const std::string named = "--memory-budget ";
  const size_t at = refused.err.find(named);
  ASSERT_NE(at, std::string::npos) << refused.err;
  const std::string smallest =
      refused.err.substr(at + named.size(), refused.err.find('M', at) + 1 - at - named.size());
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  const auto file = directory_ / "stats.json";
  const ProgramResult kept = RunProgram({"run", Core(), "-p", "Once", "-n", "100", "--temp", "0",
                                         "--memory-budget", smallest, "--stats", file.string()});
  ASSERT_EQ(kept.exit_code, 0) << kept.err;
  const auto stats = ReadJson(file);
  EXPECT_LT(stats.at("peak_resident_bytes"), stats.at("memory_budget_bytes"));
#endif
}

// Where there is a Vulkan device, lavapipe at least.
class DeviceCommandTest : public RunCommandTest {
 protected:
  void SetUp() override {
    RunCommandTest::SetUp();
    const ProgramResult result = Run({"-n", "1", "--quiet"});
    if (result.exit_code == 13) GTEST_SKIP() << result.err;
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }

  ProgramResult Run(std::vector<std::string> more) const {
    std::vector<std::string> arguments = {"run",    Core(), "-p",       "Once upon a time",
                                          "--temp", "0",    "--device", "vulkan"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return RunProgram(arguments);
  }
};

TEST_F(DeviceCommandTest, WritesTheProcessorsTextAndSaysWhatTheDeviceDid) {
  const auto file = directory_ / "stats.json";
  const ProgramResult on_device =
      Run({"-n", "30", "--vram-budget", "4M", "--stats", file.string()});
  ASSERT_EQ(on_device.exit_code, 0) << on_device.err;
  const ProgramResult on_cpu = RunProgram(
      {"run", Core(), "-p", "Once upon a time", "-n", "30", "--temp", "0", "--device", "cpu"});
  EXPECT_EQ(on_device.out, on_cpu.out);
  for (const char* word : {"device ", "all layers", "loaded", "link", "checked", "swaps",
                           "submitted", "taken at most of 4.0 MiB"}) {
    EXPECT_NE(on_device.err.find(word), std::string::npos) << word << " not in " << on_device.err;
  }
  const auto stats = ReadJson(file);
  const auto& device = stats.at("device");
  EXPECT_EQ(device.at("page_hits"), stats.at("page_hits"));
  EXPECT_GT(device.at("disk_pages"), 0);
  EXPECT_GE(device.at("checked_pages"), device.at("disk_pages"));
  EXPECT_EQ(device.at("bytes_read_back"), 30 * 1024 * 4);
  EXPECT_GT(device.at("swap_p99_seconds"), 0);
  EXPECT_LE(device.at("peak_bytes"), device.at("limit_bytes"));
  EXPECT_EQ(device.at("limit_bytes"), 4 << 20);
}

TEST_F(DeviceCommandTest, ASplitModelKeepsAMemoryBudgetToo) {
  for (const char* layers : {"4", "2"}) {
    SCOPED_TRACE(layers);
    const ProgramResult refused = Run({"--gpu-layers", layers, "--memory-budget", "2M"});
    EXPECT_EQ(refused.exit_code, 12);
    const std::string named = "--memory-budget ";
    const size_t at = refused.err.find(named);
    ASSERT_NE(at, std::string::npos) << refused.err;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    const uint64_t mebibytes = std::stoull(refused.err.substr(at + named.size())) + 4;
    const auto file = directory_ / "stats.json";
    const ProgramResult kept = Run({"--gpu-layers", layers, "-n", "40", "--memory-budget",
                                    std::to_string(mebibytes) + "M", "--stats", file.string()});
    ASSERT_EQ(kept.exit_code, 0) << kept.err;
    const auto stats = ReadJson(file);
    EXPECT_LT(stats.at("peak_resident_bytes"), stats.at("memory_budget_bytes"));
#endif
  }
}

TEST_F(DeviceCommandTest, APatchedModelComputesWhatItsTargetDoes) {
  const std::string target = (InTreeDataDir() / "tale-bard-Q4_K_M.gguf").string();
  const std::string patch = (directory_ / "bard.sgdelta").string();
  const std::string target_core = (directory_ / "bard").string();
  ASSERT_EQ(
      RunProgram({"delta", "create", "--base", InTreeModel(), "--target", target, "-o", patch})
          .exit_code,
      0);
  ASSERT_EQ(RunProgram({"shard", target, "-o", target_core, "--quiet"}).exit_code, 0);
  const std::vector<std::string> how = {"-p", "Once upon a time", "--device", "vulkan"};
  std::vector<std::string> patched = {"logits", Core(), "--patch", patch};
  std::vector<std::string> whole = {"logits", target_core};
  patched.insert(patched.end(), how.begin(), how.end());
  whole.insert(whole.end(), how.begin(), how.end());
  const ProgramResult expected = RunProgram(whole);
  ASSERT_EQ(expected.exit_code, 0) << expected.err;
  EXPECT_EQ(RunProgram(patched).out, expected.out);
}

TEST_F(RunCommandTest, TheSameSeedGivesTheSameText) {
  const auto text = [&](const std::string& seed, const std::string& threads) {
    return RunProgram({"run", Core(), "-p", "The old dog", "-n", "40", "--temp", "1.1", "--seed",
                       seed, "--threads", threads})
        .out;
  };
  EXPECT_EQ(text("5", "1"), text("5", "3"));
  EXPECT_NE(text("5", "1"), text("6", "1"));
}

TEST_F(RunCommandTest, CtrlCStopsCleanlyAndStillReports) {
  // More than a thousand tokens that each read most of the model: it takes seconds.
  const ProgramResult result = InterruptProgram(
      {"run", Core(), "-p", "The old dog", "-n", "0", "--temp", "0", "--pool", "300K", "--threads",
       "1", "--prefetch-distance", "0", "--ctx", "100000", "--kv-type", "q8_0"},
      SIGINT, std::chrono::milliseconds(300));
  EXPECT_EQ(result.exit_code, 130) << result.err;
  EXPECT_NE(result.err.find("stopped: cancelled"), std::string::npos) << result.err;
  ASSERT_FALSE(result.out.empty());
  EXPECT_EQ(result.out.back(), '\n');
}

TEST_F(RunCommandTest, AGgufIsToldHowToBecomeACore) {
  const ProgramResult result = RunProgram({"run", InTreeModel(), "-p", "Once"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_NE(result.err.find("gguf-shard shard " + InTreeModel()), std::string::npos) << result.err;
}

TEST_F(RunCommandTest, WrongArgumentsAreRefused) {
  const std::vector<std::vector<std::string>> wrong = {
      {"--temp", "nan"},         {"--top-p", "2"},         {"--threads", "0"},
      {"--kv-type", "q3"},       {"--ctx", "0"},           {"--batch", "-1"},
      {"--repeat-penalty", "0"}, {"--memory-budget", "x"}, {"--prefetch-distance", "-2"}};
  for (const auto& options : wrong) {
    std::vector<std::string> arguments = {"run", Core(), "-p", "Once", "-n", "1"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    EXPECT_EQ(RunProgram(arguments).exit_code, 2) << options[0] << " " << options[1];
  }
  EXPECT_EQ(RunProgram({"run", Core() + "/nothing.sgmap", "-p", "Once"}).exit_code, 3);
}

TEST_F(RunCommandTest, LogitsHaveTheShapeAndTheValuesOfTheGoldenFile) {
  const auto golden = GoldenCase(1);  // its greedy text ends by itself
  const ProgramResult result =
      RunProgram({"logits", Core(), "-p", golden.at("prompt"), "--greedy", "64", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto json = nlohmann::json::parse(result.out, nullptr, false);
  ASSERT_TRUE(json.is_object()) << result.out;
  EXPECT_EQ(json.at("vocab"), 1024);
  EXPECT_EQ(json.at("kv_cache"), "f32");
  const auto& computed = json.at("cases").at(0);
  for (const char* key : {"prompt", "tokens", "greedy", "text"}) {
    EXPECT_EQ(computed.at(key), golden.at(key)) << key;
  }
  ASSERT_EQ(computed.size(), golden.size());
  ASSERT_EQ(computed.at("greedy_margin").size(), golden.at("greedy_margin").size());
  ASSERT_EQ(computed.at("positions").size(), golden.at("positions").size());
  for (size_t index = 0; index < golden.at("positions").size(); ++index) {
    const auto& ours = computed.at("positions").at(index);
    const auto& theirs = golden.at("positions").at(index);
    ASSERT_EQ(ours.contains("next_logprob"), theirs.contains("next_logprob")) << index;
    EXPECT_NEAR(ours.at("logsumexp"), theirs.at("logsumexp"), 0.01);
    ASSERT_EQ(ours.at("top").size(), theirs.at("top").size());
    EXPECT_EQ(ours.at("top")[0][0], theirs.at("top")[0][0]);
    if (theirs.contains("next_logprob")) {
      EXPECT_NEAR(ours.at("next_logprob"), theirs.at("next_logprob"), 0.01);
    }
  }
}

TEST_F(RunCommandTest, LogitsTakeTokenIdsAndRefuseOthers) {
  const ProgramResult result = RunProgram({"logits", Core(), "--tokens", "1,405,428", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto json = nlohmann::json::parse(result.out, nullptr, false);
  EXPECT_EQ(json.at("cases")[0].at("tokens"), nlohmann::json({1, 405, 428}));
  for (const char* list : {"1,,2", "1,a", "", "1,", "99999", "-1"}) {
    EXPECT_EQ(RunProgram({"logits", Core(), "--tokens=" + std::string(list)}).exit_code, 2) << list;
  }
}

TEST_F(RunCommandTest, PerplexityIsThatOfTheLogitsOfTheSecondHalf) {
  constexpr size_t kWindow = 16;
  const auto text = directory_ / "text.txt";
  ASSERT_TRUE(WriteWholeFile(text,
                             "Once upon a time, there was a little dog. The dog was very happy and "
                             "ran to the park every day to play with his friends.",
                             Overwrite::kRefuse));
  const ProgramResult result =
      RunProgram({"perplexity", Core(), "--file", text.string(), "--ctx", std::to_string(kWindow),
                  "--windows", "1", "--kv-type", "f32", "--json", "--quiet"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto json = nlohmann::json::parse(result.out, nullptr, false);
  ASSERT_TRUE(json.is_object()) << result.out;

  const ProgramResult ids = RunProgram({"tokenize", Core(), "--file", text.string()});
  std::string list;
  size_t count = 0;
  std::istringstream stream(ids.out);
  for (std::string id; stream >> id && count < kWindow; ++count) list += (count ? "," : "") + id;
  const ProgramResult logits = RunProgram({"logits", Core(), "--tokens", list, "--json"});
  ASSERT_EQ(logits.exit_code, 0) << logits.err;
  const auto positions =
      nlohmann::json::parse(logits.out, nullptr, false).at("cases")[0].at("positions");
  double sum = 0;
  for (size_t index = kWindow / 2; index + 1 < kWindow; ++index) {
    sum -= positions[index].at("next_logprob").get<double>();
  }
  const double scored = kWindow - 1 - kWindow / 2;
  EXPECT_EQ(json.at("scored_tokens"), scored);
  EXPECT_NEAR(json.at("perplexity").get<double>(), std::exp(sum / scored), 1e-3);
}

TEST_F(RunCommandTest, PerplexityOfATextShorterThanAWindowIsRefused) {
  const auto text = directory_ / "text.txt";
  ASSERT_TRUE(WriteWholeFile(text, "Once upon a time", Overwrite::kRefuse));
  const ProgramResult result = RunProgram({"perplexity", Core(), "--file", text.string()});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_NE(result.err.find("window"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace gguf_shard
