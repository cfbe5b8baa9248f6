#include "validate/report.h"

namespace gguf_shard {
namespace {

using Json = nlohmann::ordered_json;

Json ToJson(const Finding& finding) {
  Json json{{"message", finding.what}};
  if (!finding.owner.empty()) json["tensor"] = finding.owner;
  if (finding.layer) json["layer"] = *finding.layer;
  if (!finding.zone.empty()) json["zone"] = finding.zone;
  if (finding.pages.page_count > 0) {
    json["first_page"] = finding.pages.first_page;
    json["page_count"] = finding.pages.page_count;
  }
  if (!finding.expected.empty()) json["expected"] = finding.expected;
  if (!finding.found.empty()) json["found"] = finding.found;
  return json;
}

Json ToJson(const Measurement& measurement) {
  Json json{{"name", measurement.name}, {"value", measurement.value}, {"unit", measurement.unit}};
  if (measurement.limit > 0) {
    json["limit"] = measurement.limit;
    json["limit_name"] = measurement.limit_name;
    json["ratio"] = measurement.ratio();
  }
  return json;
}

Json ToJson(const BudgetPoint& point) {
  return {{"pool_bytes", point.pool_bytes},
          {"tokens_per_second", point.tokens_per_second},
          {"expected_tokens_per_second", point.expected_tokens_per_second},
          {"hit_ratio", point.hit_ratio},
          {"bytes_per_token", point.bytes_per_token}};
}

Json ToJson(const CheckResult& result);

template <typename T>
Json ListOf(const std::vector<T>& items) {
  Json list = Json::array();
  for (const T& item : items) list.push_back(ToJson(item));
  return list;
}

Json ToJson(const CheckResult& result) {
  const Outcome& outcome = result.outcome;
  Json json{{"name", result.name},
            {"group", CheckGroupName(result.group)},
            {"promise", result.promise},
            {"status", CheckStatusName(outcome.status)},
            {"happened", outcome.happened},
            {"seconds", outcome.seconds},
            {"injected", outcome.injected},
            {"detected", outcome.detected},
            {"harmless", outcome.harmless},
            {"clean", outcome.clean},
            {"false_alarms", outcome.false_alarms},
            {"repeat", result.repeat}};
  if (!outcome.sampled.empty()) json["sampled"] = outcome.sampled;
  json["findings"] = ListOf(outcome.findings);
  json["measurements"] = ListOf(outcome.measurements);
  json["budgets"] = ListOf(outcome.budgets);
  return json;
}

Json ModelJson(const ValidationReport& report) {
  Json json{{"map", report.options.map_path.string()}};
  if (!report.map) return json;
  json["core"] = report.core_path;
  json["core_id"] = CoreIdToHex(report.map->core.id);
  json["core_bytes"] = report.core_bytes;
  json["page_count"] = report.map->core.page_count;
  json["tensor_count"] = report.map->tensors.size();
  json["architecture"] = report.map->source.architecture;
  json["name"] = report.map->source.name;
  json["quantization"] = report.map->source.quantization;
  return json;
}

}  // namespace

Json ReportJson(const ValidationReport& report) {
  const ValidationOptions& options = report.options;
  Json patches = Json::array();
  for (const auto& patch : options.patches) patches.push_back(patch.string());
  return {{"format", "gguf_shard.validation"},
          {"version", 1},
          {"program", "gguf-shard " + options.program_version},
          {"verdict", VerdictName(report.verdict)},
          {"advice", report.advice},
          {"seconds", report.seconds},
          {"model", ModelJson(report)},
          {"options",
           {{"mode", options.full ? "full" : "quick"},
            {"seed", options.seed},
            {"patches", patches},
            {"device", options.device_text},
            {"only", options.only}}},
          {"checks", ListOf(report.results)}};
}

Result<ReportFormat> ReportFormatOf(const std::filesystem::path& path) {
  const std::string ending = path.extension().string();
  if (ending == ".json") return ReportFormat::kJson;
  if (ending == ".html") return ReportFormat::kHtml;
  if (ending == ".xml") return ReportFormat::kJunit;
  return Fail(Error(ErrorCode::kInvalidArgument, "no report has this ending")
                  .Expected(".json, .html or .xml")
                  .Found(path.filename().string()));
}

Result<void> WriteReport(const ValidationReport& report, const std::filesystem::path& path) {
  GS_ASSIGN(const ReportFormat format, ReportFormatOf(path));
  const auto replace = Json::error_handler_t::replace;
  std::string text;
  if (format == ReportFormat::kJson) text = ReportJson(report).dump(2, ' ', false, replace) + "\n";
  if (format == ReportFormat::kHtml) text = ReportHtml(report);
  if (format == ReportFormat::kJunit) text = ReportJunit(report);
  return WriteWholeFile(path, text, Overwrite::kAllow);
}

}  // namespace gguf_shard
