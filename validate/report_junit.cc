#include <fmt/format.h>

#include "validate/markup.h"
#include "validate/report.h"

namespace gguf_shard {
namespace {

std::string Place(const Finding& finding) {
  std::string text = finding.owner;
  if (finding.pages.page_count > 0) {
    text += fmt::format(" pages {} to {}", finding.pages.first_page, finding.pages.end_page() - 1);
  }
  return text;
}

std::string CaseXml(const CheckResult& result) {
  const Outcome& outcome = result.outcome;
  std::string xml =
      fmt::format("    <testcase classname=\"validate.{}\" name=\"{}\" time=\"{:.3f}\">\n",
                  CheckGroupName(result.group), Escaped(result.name), outcome.seconds);
  if (outcome.status == CheckStatus::kSkipped) {
    xml += fmt::format("      <skipped message=\"{}\"/>\n", Escaped(outcome.happened));
  } else if (outcome.status != CheckStatus::kPassed) {
    xml += fmt::format("      <failure type=\"{}\" message=\"{}\">",
                       CheckStatusName(outcome.status), Escaped(outcome.happened));
    for (const Finding& finding : outcome.findings) {
      xml += Escaped(fmt::format("{}: {}\n", Place(finding), finding.what));
    }
    xml += Escaped("repeat: " + result.repeat) + "</failure>\n";
  }
  return xml + "    </testcase>\n";
}

}  // namespace

std::string ReportJunit(const ValidationReport& report) {
  const uint64_t failures =
      report.CountOf(CheckStatus::kDamaged) + report.CountOf(CheckStatus::kBroken);
  std::string xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n";
  xml += fmt::format(
      "  <testsuite name=\"gguf-shard validate\" tests=\"{}\" failures=\"{}\" skipped=\"{}\" "
      "time=\"{:.3f}\">\n",
      report.results.size(), failures, report.CountOf(CheckStatus::kSkipped), report.seconds);
  for (const CheckResult& result : report.results) xml += CaseXml(result);
  return xml + "  </testsuite>\n</testsuites>\n";
}

}  // namespace gguf_shard
