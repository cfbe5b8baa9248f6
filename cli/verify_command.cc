// gguf-shard verify: checks every page, the index and the map, and lists everything that is wrong;
// with --repair, first replaces what is damaged by what another copy of the model has.
#include <fmt/format.h>

#include <memory>
#include <optional>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/json_output.h"
#include "cli/model_path.h"
#include "cli/progress.h"
#include "cli/repair_report.h"
#include "forge/verify.h"

namespace gguf_shard {
namespace {

struct VerifyArguments {
  std::string map;
  bool fast = false;
  bool full = false;
  bool json = false;
  bool quiet = false;
  bool repair = false;
  std::string source;
  std::vector<std::string> patches;
};

std::string_view KindText(PageFaultKind kind) {
  switch (kind) {
    case PageFaultKind::kTag:
      return "fails its tag";
    case PageFaultKind::kStale:
      return "an old version, not the one in the index";
    case PageFaultKind::kUnreadable:
      return "cannot be read";
  }
  return "bad";
}

std::string Comparison(const std::string& expected, const std::string& found) {
  if (expected.empty() && found.empty()) return "";
  if (expected.empty()) return fmt::format(" ({})", found);
  return fmt::format(" (expected {}, found {})", expected, found);
}

std::string_view DepthText(VerifyDepth depth) {
  switch (depth) {
    case VerifyDepth::kFast:
      return "";
    case VerifyDepth::kStandard:
      return ", every tensor";
    case VerifyDepth::kFull:
      return ", every tensor and the SHA-256 of the source";
  }
  return "";
}

void PrintReport(const VerifyReport& report, bool quiet) {
  for (const BadPages& bad : report.bad_pages) {
    fmt::print("{} of {}: {}{}\n", PagesText(bad.pages), Printable(bad.owner), KindText(bad.kind),
               Comparison(bad.expected, bad.found));
  }
  for (const VerifyFault& fault : report.faults) {
    fmt::print("{}: {}{}\n", Printable(fault.subject), fault.sentence,
               Printable(Comparison(fault.expected, fault.found)));
  }
  const auto checked = fmt::format("{} pages ({})", report.checked_page_count,
                                   FormatBytes(report.checked_page_count * kPageBytes));
  if (!report.intact()) {
    fmt::print("{}: DAMAGED: {} bad pages of {}, {} other faults\n", report.core_path.string(),
               report.bad_page_count, checked, report.faults.size());
    fmt::print(
        "to repair it: gguf-shard verify {} --repair --source COPY (the source GGUF, its "
        "address, or another core)\n",
        report.map_path.string());
  } else if (!quiet) {
    fmt::print("{}: intact: {}, index and map{}\n", report.core_path.string(), checked,
               DepthText(report.depth));
  }
}

nlohmann::ordered_json ReportJson(const VerifyReport& report) {
  using Json = nlohmann::ordered_json;
  Json bad_pages = Json::array();
  for (const BadPages& bad : report.bad_pages) {
    bad_pages.push_back({{"first_page", bad.pages.first_page},
                         {"page_count", bad.pages.page_count},
                         {"fault", PageFaultKindName(bad.kind)},
                         {"tensor", bad.owner},
                         {"expected", bad.expected},
                         {"found", bad.found}});
  }
  Json faults = Json::array();
  for (const VerifyFault& fault : report.faults) {
    faults.push_back({{"subject", fault.subject},
                      {"message", fault.sentence},
                      {"expected", fault.expected},
                      {"found", fault.found}});
  }
  return {{"intact", report.intact()},
          {"depth", VerifyDepthName(report.depth)},
          {"map", report.map_path.string()},
          {"core", report.core_path.string()},
          {"core_id", CoreIdToHex(report.map.core.id)},
          {"checked_page_count", report.checked_page_count},
          {"bad_page_count", report.bad_page_count},
          {"bad_pages", bad_pages},
          {"faults", faults}};
}

VerifyDepth DepthFrom(const VerifyArguments& arguments) {
  if (arguments.fast) return VerifyDepth::kFast;
  return arguments.full ? VerifyDepth::kFull : VerifyDepth::kStandard;
}

Result<std::optional<RepairReport>> Repair(const VerifyArguments& arguments, Progress& progress) {
  if (!arguments.repair) return std::nullopt;
  const RepairOptions options{arguments.source,
                              {arguments.patches.begin(), arguments.patches.end()}};
  GS_ASSIGN(RepairReport report, RepairCore(arguments.map, options, progress));
  if (!arguments.json) fmt::print("{}", RepairText(report, arguments.quiet));
  return report;
}

Result<ExitCode> RunVerify(const VerifyArguments& arguments) {
  GS_TRY(RecoverModel(arguments.map));
  const auto progress = MakeProgress(arguments.quiet);
  const auto repaired = Repair(arguments, *progress);
  if (!repaired) {
    if (arguments.json) PrintJson({{"intact", false}, {"error", ErrorJson(repaired.error())}});
    return Fail(repaired.error());
  }
  const auto report = VerifyCore(arguments.map, DepthFrom(arguments), *progress);
  if (!report) {
    if (arguments.json) PrintJson({{"intact", false}, {"error", ErrorJson(report.error())}});
    return Fail(report.error());
  }
  if (arguments.json) {
    auto json = ReportJson(*report);
    if (*repaired) json["repair"] = RepairJson(**repaired);
    PrintJson(json);
  } else {
    PrintReport(*report, arguments.quiet);
  }
  return report->intact() ? ExitCode::kSuccess : ExitCode::kDamaged;
}

}  // namespace

void AddVerifyCommand(CLI::App& app, CommandLine& line) {
  auto arguments = std::make_shared<VerifyArguments>();
  CLI::App* command = app.add_subcommand("verify", "Check every page of a core, its index and map");
  command->add_option("map", arguments->map, "The map, or the directory of core.sgmap")
      ->required()
      ->type_name("CORE.sgmap");
  CLI::Option* fast = command->add_flag("--fast", arguments->fast,
                                        "Page tags, index and map only; no tensor digests");
  command
      ->add_flag("--full", arguments->full,
                 "Also the SHA-256 of every source file, as unshard would prove it")
      ->excludes(fast);
  command->add_flag("--json", arguments->json, "Print the report as JSON");
  CLI::Option* repair =
      command->add_flag("--repair", arguments->repair,
                        "Replace what is damaged by what another copy has, then verify");
  CLI::Option* source =
      command
          ->add_option("--source,--from", arguments->source,
                       "The other copy: the source GGUF (a file or an http(s) address), or a core")
          ->needs(repair)
          ->type_name("FILE_OR_URL");
  repair->needs(source);
  command->add_option("--patch", arguments->patches, "A patch laid over that copy; repeatable")
      ->needs(source)
      ->type_name("PATCH.sgdelta");
  AddQuietFlag(*command, arguments->quiet);
  command->callback(
      [arguments, &line] { line.run = [arguments] { return RunVerify(*arguments); }; });
}

}  // namespace gguf_shard
