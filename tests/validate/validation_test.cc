// `validate` on the in-tree model: an intact core holds every promise; a damaged one is described
// to the page. Reports fit their schema.
#include "validate/validation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "core/cancel.h"
#include "forge/shard.h"
#include "tests/support/json_schema.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/testdata.h"
#include "validate/check_list.h"
#include "validate/markup.h"
#include "validate/report.h"

namespace gguf_shard {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class ValidationTest : public testing::Test {
 protected:
  ValidationTest() {
    NoProgress progress;
    ShardOptions shard;
    shard.output_directory = dir_ / "tale";
    const auto made = ShardModel(InTreeDataDir() / "tale-Q4_K_M.gguf", shard, progress);
    EXPECT_TRUE(made) << made.error().ToString();
    if (made) map_ = made->map;
  }

  ValidationReport Validate(const std::string& only, ValidationOptions options = {}) {
    options.map_path = dir_ / "tale";
    options.only = only;
    options.faults = 700;
    options.program_version = "test";
    NoProgress progress;
    auto report = RunValidation(options, progress);
    EXPECT_TRUE(report) << report.error().ToString();
    return report ? std::move(*report) : ValidationReport();
  }

  const CheckResult& Find(const ValidationReport& report, std::string_view name) {
    for (const CheckResult& result : report.results) {
      if (result.name == name) return result;
    }
    ADD_FAILURE() << "no check " << name;
    return report.results.front();
  }

  void ChangeCore(uint64_t offset, std::string_view bytes) {
    std::fstream file(dir_ / "tale" / "core.gguf", std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(offset));
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }

  void ExpectAllHeld(const ValidationReport& report) {
    EXPECT_EQ(report.verdict, Verdict::kHeld);
    for (const CheckResult& result : report.results) {
      const bool well = result.outcome.status == CheckStatus::kPassed ||
                        result.outcome.status == CheckStatus::kSkipped;
      EXPECT_TRUE(well) << result.name << ": " << result.outcome.happened;
    }
  }

  TemporaryDirectory dir_;
  CoreMap map_;
};

TEST_F(ValidationTest, IntegrityHoldsForAnIntactCore) {
  const ValidationReport report = Validate("integrity");
  ExpectAllHeld(report);
  EXPECT_EQ(Find(report, "core.pages").outcome.clean, map_.core.page_count);
  EXPECT_EQ(Find(report, "core.reconstruction").outcome.clean, map_.tensors.size());
  EXPECT_EQ(Find(report, "patch.round_trip").outcome.status, CheckStatus::kPassed);
  EXPECT_EQ(Find(report, "patch.merge").outcome.status, CheckStatus::kPassed);
  EXPECT_EQ(Find(report, "logits.budgets").outcome.clean, 4u);
  EXPECT_EQ(Find(report, "patch.given").outcome.status, CheckStatus::kSkipped);
}

TEST_F(ValidationTest, ChaosIsDetectedWithoutFalseAlarms) {
  const ValidationReport report = Validate("chaos");
  ExpectAllHeld(report);
  for (const CheckResult& result : report.results) {
    const Outcome& outcome = result.outcome;
    EXPECT_EQ(outcome.detected + outcome.harmless, outcome.injected) << result.name;
    EXPECT_EQ(outcome.false_alarms, 0u) << result.name;
    const bool skipped = outcome.status == CheckStatus::kSkipped;
    EXPECT_TRUE(skipped || outcome.injected + outcome.clean > 0) << result.name;
  }
  for (const std::string kind : {"bit_flip", "burst", "zeroed", "swapped", "stale", "foreign"}) {
    const Outcome& outcome = Find(report, "pages." + kind).outcome;
    EXPECT_GE(outcome.detected, 100u) << kind;
    EXPECT_EQ(outcome.harmless, 0u) << kind;
  }
  EXPECT_EQ(Find(report, "run.minimum_budget").outcome.detected, 2u);
  for (const std::string from : {"from_source", "from_core", "from_patch", "unrepairable"}) {
    EXPECT_GE(Find(report, "repair." + from).outcome.detected, 4u) << from;
  }
}

// What reads the model again and again does so less often where that is gigabytes, and says so.
TEST_F(ValidationTest, ALargeCoreIsReadLessOften) {
  ValidationOptions options;
  options.large_core_bytes = 0;
  const ValidationReport large = Validate("run", options);
  ExpectAllHeld(large);
  const ValidationReport small = Validate("run");
  for (const std::string name : {"run.damaged_pages", "run.read_errors", "run.thrash"}) {
    const Outcome& few = Find(large, name).outcome;
    const Outcome& many = Find(small, name).outcome;
    EXPECT_GT(few.injected + few.clean, 0u) << name;
    EXPECT_LE(few.injected + few.clean, many.injected + many.clean) << name;
    EXPECT_THAT(few.sampled, HasSubstr("fewer than of a small model")) << name;
    EXPECT_EQ(many.sampled, "") << name;
  }
  const Outcome& soak = Find(large, "run.soak").outcome;
  EXPECT_GE(soak.clean, 4u);
  EXPECT_THAT(soak.sampled, HasSubstr("rounds of 2 tokens"));
  EXPECT_THAT(soak.happened, HasSubstr("the same 2 tokens"));
}

// Names exactly the damaged pages, the tensors, layers and zones they belong to, and what to do.
TEST_F(ValidationTest, DamageIsNamedToThePage) {
  const MapTensor* tensor = map_.FindTensor("blk.1.ffn_down.weight");
  ASSERT_NE(tensor, nullptr);
  const uint64_t page = tensor->first_page + 3;
  ChangeCore(map_.core.data_offset + page * kPageBytes + 100, "damage");
  const ValidationReport report = Validate("");
  EXPECT_EQ(report.verdict, Verdict::kDamaged);
  EXPECT_THAT(report.advice, HasSubstr("--repair --from"));
  const Outcome& pages = Find(report, "core.pages").outcome;
  ASSERT_EQ(pages.findings.size(), 1u);
  EXPECT_EQ(pages.findings[0].pages.first_page, page);
  EXPECT_EQ(pages.findings[0].pages.page_count, 1u);
  EXPECT_EQ(pages.findings[0].owner, "blk.1.ffn_down.weight");
  EXPECT_EQ(pages.findings[0].layer, 1u);
  EXPECT_EQ(pages.findings[0].zone, ZoneName(tensor->zone));
  const Outcome& source = Find(report, "core.reconstruction").outcome;
  ASSERT_EQ(source.findings.size(), 2u);
  EXPECT_EQ(source.findings[0].owner, "blk.1.ffn_down.weight");
  EXPECT_EQ(source.findings[1].owner, "file tale-Q4_K_M.gguf");
  EXPECT_EQ(Find(report, "core.index").outcome.status, CheckStatus::kPassed);
  EXPECT_EQ(Find(report, "logits.budgets").outcome.status, CheckStatus::kSkipped);
}

TEST_F(ValidationTest, ACoreThatDoesNotOpenIsDamage) {
  fs::resize_file(dir_ / "tale" / "core.gguf", map_.core.data_offset + 10 * kPageBytes);
  const ValidationReport report = Validate("core");
  EXPECT_EQ(report.verdict, Verdict::kDamaged);
  const Outcome& outcome = Find(report, "core.map").outcome;
  EXPECT_EQ(outcome.status, CheckStatus::kDamaged);
  EXPECT_EQ(outcome.findings.size(), 1u);
  EXPECT_EQ(Find(report, "core.pages").outcome.status, CheckStatus::kSkipped);
}

TEST_F(ValidationTest, LeavesTheUsersFilesAsTheyAre) {
  std::vector<std::pair<fs::path, fs::file_time_type>> before;
  for (const auto& file : fs::directory_iterator(dir_ / "tale")) {
    before.emplace_back(file.path(), file.last_write_time());
  }
  Validate("");
  std::vector<std::pair<fs::path, fs::file_time_type>> after;
  for (const auto& file : fs::directory_iterator(dir_ / "tale")) {
    after.emplace_back(file.path(), file.last_write_time());
  }
  EXPECT_EQ(before, after);
}

TEST_F(ValidationTest, TheJsonReportFitsItsSchema) {
  const ValidationReport report = Validate("");
  const auto verdict = CheckAgainstSchema(nlohmann::json::parse(ReportJson(report).dump()),
                                          "validation.schema.json", dir_.path());
  if (verdict.skipped) GTEST_SKIP() << verdict.complaint;
  EXPECT_EQ(verdict.complaint, "");
}

TEST_F(ValidationTest, RepeatsOneCheckByItsNameAndSeed) {
  const ValidationReport report = Validate("patch.merge");
  ASSERT_EQ(report.results.size(), 1u);
  EXPECT_EQ(report.results[0].repeat, "gguf-shard validate " + (dir_ / "tale").string() +
                                          " --quick --faults 700 --only patch.merge --seed 1");
}

TEST_F(ValidationTest, AnUnknownCheckIsRefusedWithTheNamesThereAre) {
  ValidationOptions options;
  options.map_path = dir_ / "tale";
  options.only = "pages.bitflip";
  NoProgress progress;
  const auto report = RunValidation(options, progress);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(report.error().expected(), HasSubstr("core.reconstruction"));
}

TEST_F(ValidationTest, APatchThatIsNotThereIsAnErrorNotABrokenPromise) {
  ValidationOptions options;
  options.map_path = dir_ / "tale";
  options.patches = {dir_ / "none.sgdelta"};
  NoProgress progress;
  const auto report = RunValidation(options, progress);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code(), ErrorCode::kNotFound);
}

TEST_F(ValidationTest, EndsWhenInterrupted) {
  RequestCancel();
  const ValidationReport report = Validate("");
  ClearCancel();
  EXPECT_EQ(report.verdict, Verdict::kCancelled);
  EXPECT_TRUE(report.results.empty());
}

TEST(ValidationReports, JunitCountsFailuresAndEscapes) {
  ValidationReport report;
  CheckResult result;
  result.name = "core.pages";
  result.outcome = Broken("a < b & \"c\"");
  report.results.push_back(result);
  result.outcome = Skipped("no device");
  report.results.push_back(result);
  const std::string xml = ReportJunit(report);
  EXPECT_THAT(xml, HasSubstr("tests=\"2\" failures=\"1\" skipped=\"1\""));
  EXPECT_THAT(xml, HasSubstr("a &lt; b &amp; &quot;c&quot;"));
}

// Whatever the names in a model, the page refers to nothing outside and runs nothing.
TEST_F(ValidationTest, TheHtmlReportIsOnePageByItself) {
  ChangeCore(map_.core.data_offset + 50 * kPageBytes, "damage");
  ValidationReport report = Validate("core");
  report.map->tensors[0].name = "<script>alert(1)</script>";
  const std::string html = ReportHtml(report);
  EXPECT_THAT(html, HasSubstr("<h1>Damaged.</h1>"));
  EXPECT_THAT(html, HasSubstr("class=\"damage\""));
  EXPECT_THAT(html, HasSubstr("pages 50 to 50"));
  EXPECT_THAT(html, HasSubstr("layer 3</text>"));
  EXPECT_THAT(html, HasSubstr("&lt;script&gt;"));
  for (const char* outside : {"<script", "http:", "https:", "<link", "<img", "@import", "url("}) {
    EXPECT_EQ(html.find(outside), std::string::npos) << outside;
  }
}

// However much is damaged, the page stays one that a browser opens; JSON lists every page.
TEST_F(ValidationTest, TheHtmlReportOfAWreckedCoreStaysSmall) {
  ValidationReport report = Validate("core");
  constexpr uint64_t kPages = 1'200'000;
  CoreMap& map = *report.map;
  map.core.page_count = kPages + 300;
  map.core.index = {kPages, 300};
  map.tensors.back().first_page = map.tensors.front().first_page;
  map.tensors.back().layout.page_count = kPages - map.tensors.front().first_page;
  map.tensors = {map.tensors.back()};
  CheckResult& pages = report.results[1];
  pages.outcome.status = CheckStatus::kDamaged;
  const uint64_t first = map.tensors[0].first_page;
  for (uint64_t page = first; page < kPages; page += 4) {
    Finding finding;
    finding.what = "the page fails its tag";
    finding.pages = {page, 1};
    pages.outcome.findings.push_back(finding);
  }
  const std::string html = ReportHtml(report);
  EXPECT_LT(html.size(), size_t{500} << 10);
  EXPECT_THAT(html, HasSubstr("and " + std::to_string(pages.outcome.findings.size() - 1000) +
                              " more; a report in JSON"));
  EXPECT_THAT(html, HasSubstr("<title>damaged: " + map.tensors[0].name + ", " +
                              std::to_string(pages.outcome.findings.size()) + " of pages " +
                              std::to_string(first) + " to "));
  EXPECT_EQ(ReportJson(report).at("checks").at(1).at("findings").size(),
            pages.outcome.findings.size());
}

TEST_F(ValidationTest, ThroughputIsMeasuredWithItsLimits) {
  const ValidationReport report = Validate("throughput");
  ExpectAllHeld(report);
  for (const CheckResult& result : report.results) {
    for (const Measurement& one : result.outcome.measurements) {
      EXPECT_GT(one.value, 0) << result.name << ", " << one.name;
    }
  }
  const auto& budgets = Find(report, "throughput.tokens").outcome.budgets;
  ASSERT_EQ(budgets.size(), 5u);
  EXPECT_EQ(budgets.back().hit_ratio, 1);
  EXPECT_EQ(budgets.back().bytes_per_token, 0);
  EXPECT_GT(budgets.front().bytes_per_token, budgets[2].bytes_per_token);
  const std::string html = ReportHtml(report);
  EXPECT_THAT(html, HasSubstr("<polyline class=\"line measured\""));
}

TEST(ValidationReports, EachEndingHasItsFormat) {
  EXPECT_EQ(ReportFormatOf("a/b.json").value(), ReportFormat::kJson);
  EXPECT_EQ(ReportFormatOf("b.html").value(), ReportFormat::kHtml);
  EXPECT_EQ(ReportFormatOf("b.junit.xml").value(), ReportFormat::kJunit);
  EXPECT_EQ(ReportFormatOf("b.txt").error().code(), ErrorCode::kInvalidArgument);
}

TEST(ValidationReports, TextIsMadeSafeForMarkup) {
  EXPECT_EQ(Escaped("<a href='x'>"), "&lt;a href='x'&gt;");
  EXPECT_EQ(Escaped("Caf\xC3\xA9 \xF0\x9F\x90\xA2"), "Caf\xC3\xA9 \xF0\x9F\x90\xA2");
  EXPECT_EQ(Escaped("a\xFF\x01z"), "a\xEF\xBF\xBD\xEF\xBF\xBDz");
  EXPECT_EQ(Escaped("\xC3"), "\xEF\xBF\xBD");
}

TEST(ValidationReports, WordsAreQuotedForAShell) {
  EXPECT_EQ(QuoteForShell("a/b-c.sgmap"), "a/b-c.sgmap");
  EXPECT_EQ(QuoteForShell("my model's"), "'my model'\\''s'");
  EXPECT_EQ(QuoteForShell(""), "''");
}

}  // namespace
}  // namespace gguf_shard
