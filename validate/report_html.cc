// One page for people, without any outside resource: the verdict, what to do, plots, the map of
// pages, all checks.
#include <fmt/format.h>

#include <algorithm>

#include "validate/markup.h"
#include "validate/page_map_svg.h"
#include "validate/plot_svg.h"
#include "validate/report.h"
#include "validate/report_style.h"

namespace gguf_shard {
namespace {

constexpr double kMebibyte = 1 << 20;
// Of what is wrong: more is for programs.
constexpr uint64_t kMostFindingRows = 1000;

std::string_view VerdictTitle(Verdict verdict) {
  switch (verdict) {
    case Verdict::kHeld:
      return "Intact. Every promise held.";
    case Verdict::kDamaged:
      return "Damaged.";
    case Verdict::kBroken:
      return "The program broke a promise.";
    case Verdict::kCancelled:
      return "Interrupted; nothing wrong so far.";
  }
  return "";
}

std::string SizeText(uint64_t bytes) {
  const auto value = static_cast<double>(bytes);
  if (bytes >= uint64_t{1} << 30) return fmt::format("{:.2f} GiB", value / (1 << 30));
  return fmt::format("{:.1f} MiB", value / kMebibyte);
}

std::string Tile(uint64_t count, std::string_view what, std::string_view style) {
  return fmt::format("<li class=\"{}\"><b>{}</b> {}</li>", style, count, what);
}

std::string Head(const ValidationReport& report) {
  uint64_t injected = 0;
  uint64_t false_alarms = 0;
  for (const CheckResult& result : report.results) {
    injected += result.outcome.injected;
    false_alarms += result.outcome.false_alarms;
  }
  std::string model = Escaped(report.options.map_path.string());
  if (report.map) {
    model = fmt::format("{} &middot; {} &middot; {} &middot; {} pages, {} &middot; core {}",
                        Escaped(report.map->source.name), Escaped(report.map->source.architecture),
                        Escaped(report.map->source.quantization), report.map->core.page_count,
                        SizeText(report.core_bytes), CoreIdToHex(report.map->core.id));
  }
  std::string html = fmt::format(
      "<header class=\"{}\"><p class=\"what\">gguf-shard validate</p><h1>{}</h1><p>{}</p>",
      VerdictName(report.verdict), VerdictTitle(report.verdict), model);
  if (!report.advice.empty()) {
    html += fmt::format("<p class=\"advice\"><b>What to do:</b> {}</p>", Escaped(report.advice));
  }
  html += "<ul class=\"tiles\">" + Tile(report.CountOf(CheckStatus::kPassed), "passed", "passed") +
          Tile(report.CountOf(CheckStatus::kDamaged), "damaged", "damaged") +
          Tile(report.CountOf(CheckStatus::kBroken), "broken", "broken") +
          Tile(report.CountOf(CheckStatus::kSkipped), "skipped", "skipped") +
          Tile(injected, "faults injected", "") + Tile(false_alarms, "false alarms", "") + "</ul>";
  return html + fmt::format(
                    "<p class=\"small\">{} &middot; {} &middot; seed {} &middot; {:.1f} "
                    "s</p></header>",
                    Escaped("gguf-shard " + report.options.program_version),
                    report.options.full ? "full" : "quick", report.options.seed, report.seconds);
}

std::string PagesText(PageRange pages) {
  if (pages.page_count == 0) return "";
  if (pages.page_count == 1) return fmt::format("{}", pages.first_page);
  return fmt::format("{} to {}", pages.first_page, pages.end_page() - 1);
}

std::string FindingRow(const CheckResult& result, const Finding& finding) {
  return fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                     Escaped(result.name), PagesText(finding.pages), Escaped(finding.owner),
                     finding.layer ? fmt::format("{}", *finding.layer) : "", Escaped(finding.zone),
                     Escaped(finding.what));
}

std::string Findings(const ValidationReport& report) {
  std::string rows;
  uint64_t count = 0;
  for (const CheckResult& result : report.results) {
    for (const Finding& finding : result.outcome.findings) {
      if (++count <= kMostFindingRows) rows += FindingRow(result, finding);
    }
  }
  if (rows.empty()) return "";
  if (count > kMostFindingRows) {
    rows += fmt::format(
        "<tr><td colspan=\"6\">and {} more; a report in JSON (--report FILE.json) lists all of "
        "them</td></tr>",
        count - kMostFindingRows);
  }
  return "<section><h2>What is wrong</h2><div class=\"scroll tall\"><table "
         "class=\"findings\"><thead><tr><th>check</th>"
         "<th>pages</th><th>where</th><th>layer</th><th>zone</th><th>what</th></tr></"
         "thead><tbody>" +
         rows + "</tbody></table></div></section>";
}

std::string Plots(const ValidationReport& report) {
  std::string html;
  for (const CheckResult& result : report.results) {
    if (result.outcome.budgets.empty()) continue;
    PlotLine speed{"measured", "measured", {}};
    PlotLine limit{"expected", "limit", {}};
    PlotLine hits{"hit ratio", "measured", {}};
    for (const BudgetPoint& point : result.outcome.budgets) {
      const double x = static_cast<double>(point.pool_bytes) / kMebibyte;
      speed.points.emplace_back(x, point.tokens_per_second);
      limit.points.emplace_back(x, point.expected_tokens_per_second);
      hits.points.emplace_back(x, point.hit_ratio * 100);
    }
    const std::string x_label = "memory for pages, MiB";
    html += PlotSvg({"Tokens per second", x_label, "", 0, {speed, limit}});
    html += PlotSvg({"Pages that were in memory, %", x_label, "", 100, {hits}});
  }
  if (html.empty()) return "";
  return "<section><h2>Speed over memory</h2><div class=\"plots\">" + html + "</div></section>";
}

std::string Pages(const ValidationReport& report) {
  if (!report.map) return "";
  PageMapInput input{*report.map, report.residency.resident, {}};
  for (const CheckResult& result : report.results) {
    if (result.outcome.status != CheckStatus::kDamaged) continue;
    for (const Finding& finding : result.outcome.findings) {
      if (finding.pages.page_count > 0) input.damaged.push_back(finding.pages);
    }
  }
  std::sort(input.damaged.begin(), input.damaged.end(),
            [](PageRange a, PageRange b) { return a.first_page < b.first_page; });
  std::string note = "What would stay in memory is not known: this model cannot be run here.";
  if (report.residency.pool_bytes > 0) {
    note = fmt::format(
        "Strong: stays in memory with a pool of {}. Pale: is streamed or kept while "
        "it is used.",
        SizeText(report.residency.pool_bytes));
  }
  return "<section><h2>The model's pages</h2><ul class=\"key\"><li class=\"zone-high\">high</li>"
         "<li class=\"zone-normal\">normal</li><li class=\"zone-cold\">cold</li><li "
         "class=\"zone-other\">header, index</li><li class=\"damage\">damaged</li></ul><p "
         "class=\"small\">" +
         note + "</p><div class=\"scroll\">" + PageMapSvg(input) + "</div></section>";
}

std::string MeasurementRow(const Measurement& one) {
  std::string row = fmt::format("<tr><td>{}</td><td class=\"number\">{:.4g} {}</td>",
                                Escaped(one.name), one.value, Escaped(one.unit));
  if (one.limit <= 0) return row + "<td></td><td></td><td></td></tr>";
  return row + fmt::format(
                   "<td class=\"number\">{:.4g}</td><td>{}</td><td><span class=\"bar\"><i "
                   "style=\"width:{:.0f}%\"></i></span> {:.3g} %</td></tr>",
                   one.limit, Escaped(one.limit_name), std::clamp(one.ratio() * 100, 0.0, 100.0),
                   one.ratio() * 100);
}

std::string Measurements(const ValidationReport& report) {
  std::string rows;
  for (const CheckResult& result : report.results) {
    for (const Measurement& one : result.outcome.measurements) rows += MeasurementRow(one);
  }
  if (rows.empty()) return "";
  return "<section><h2>Measured here</h2><div class=\"scroll\"><table><thead><tr><th>what</th>"
         "<th>value</th><th>limit</th><th>of</th><th>share of it</th></tr></thead><tbody>" +
         rows + "</tbody></table></div></section>";
}

std::string CheckRow(const CheckResult& result) {
  const Outcome& outcome = result.outcome;
  const auto count = [](uint64_t number) {
    return number == 0 ? std::string() : fmt::format("{}", number);
  };
  std::string happened = Escaped(outcome.happened);
  if (!outcome.sampled.empty()) {
    happened += "<br><span class=\"small\">" + Escaped(outcome.sampled) + "</span>";
  }
  return fmt::format(
      "<tr><td><span class=\"status {}\">{}</span></td><td><details><summary>{}</summary><code>{}"
      "</code></details></td><td>{}</td><td>{}</td><td class=\"number\">{}</td><td "
      "class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{:.2f}</td></tr>",
      CheckStatusName(outcome.status), CheckStatusName(outcome.status), Escaped(result.name),
      Escaped(result.repeat), Escaped(result.promise), happened, count(outcome.injected),
      count(outcome.detected + outcome.harmless), count(outcome.false_alarms), outcome.seconds);
}

std::string Checks(const ValidationReport& report) {
  std::string html;
  for (const CheckGroup group :
       {CheckGroup::kIntegrity, CheckGroup::kChaos, CheckGroup::kThroughput}) {
    std::string rows;
    for (const CheckResult& result : report.results) {
      if (result.group == group) rows += CheckRow(result);
    }
    if (rows.empty()) continue;
    html += fmt::format(
        "<section><h2 class=\"group\">{}</h2><div class=\"scroll\"><table class=\"checks\"><thead>"
        "<tr><th></th><th>check</th><th>promised</th><th>happened</th><th>faults</th><th>found</th>"
        "<th>alarms</th><th>s</th></tr></thead><tbody>{}</tbody></table>"
        "</div></section>",
        CheckGroupName(group), rows);
  }
  return html;
}

}  // namespace

std::string ReportHtml(const ValidationReport& report) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width, initial-scale=1\"><title>gguf-shard validate: {}</title>"
      "<style>{}</style></head><body>{}<main>{}{}{}{}{}</main></body></html>\n",
      VerdictName(report.verdict), kReportStyle, Head(report), Findings(report), Plots(report),
      Pages(report), Measurements(report), Checks(report));
}

}  // namespace gguf_shard
