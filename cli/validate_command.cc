// gguf-shard validate: is this model intact, and will it survive a bad day on this machine?
#include <fmt/format.h>

#include <memory>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/json_output.h"
#include "cli/model_path.h"
#include "cli/progress.h"
#include "gpu/pipeline_cache.h"
#include "validate/report.h"
#include "validate/validation.h"

namespace gguf_shard {
namespace {

struct ValidateArguments {
  std::string map;
  std::vector<std::string> patches;
  std::string device = "auto";
  bool quick = false;  // the default: there for scripts that say so
  bool full = false;
  std::vector<std::string> reports;
  uint64_t seed = 1;
  uint64_t faults = 0;
  uint32_t soak_seconds = 0;
  std::string only;
  std::string scratch;
  bool json = false;
  bool quiet = false;
};

Result<ValidationOptions> MakeOptions(const ValidateArguments& arguments) {
  ValidationOptions options;
  options.map_path = arguments.map;
  options.patches.assign(arguments.patches.begin(), arguments.patches.end());
  GS_ASSIGN(options.device, ParseDevice(arguments.device));
  options.device.pipeline_cache_path = gpu::DefaultPipelineCachePath();
  options.device_text = arguments.device;
  options.full = arguments.full;
  options.seed = arguments.seed;
  options.faults = arguments.faults;
  options.soak_seconds = arguments.soak_seconds;
  options.only = arguments.only;
  options.scratch_parent = arguments.scratch;
  options.program_version = GS_VERSION;
  for (const std::string& report : arguments.reports) GS_TRY(ReportFormatOf(report));
  return options;
}

std::string PlaceText(const Finding& finding) {
  std::string text = Printable(finding.owner);
  if (finding.layer) text += fmt::format(" (layer {})", *finding.layer);
  if (finding.pages.page_count == 1) text += fmt::format(", page {}", finding.pages.first_page);
  if (finding.pages.page_count > 1) {
    text += fmt::format(", pages {} to {}", finding.pages.first_page, finding.pages.end_page() - 1);
  }
  return text;
}

void PrintResult(const CheckResult& result) {
  const Outcome& outcome = result.outcome;
  fmt::print("{:<8} {:<22} {}\n", CheckStatusName(outcome.status), result.name,
             Printable(outcome.happened));
  for (const Finding& finding : outcome.findings) {
    fmt::print("           {}: {}\n", PlaceText(finding), Printable(finding.what));
  }
  const bool failed =
      outcome.status == CheckStatus::kDamaged || outcome.status == CheckStatus::kBroken;
  if (failed) fmt::print("           again: {}\n", result.repeat);
}

std::string_view VerdictText(Verdict verdict) {
  switch (verdict) {
    case Verdict::kHeld:
      return "INTACT: every promise held";
    case Verdict::kDamaged:
      return "DAMAGED";
    case Verdict::kBroken:
      return "BROKEN: the program did not keep a promise";
    case Verdict::kCancelled:
      return "INTERRUPTED";
  }
  return "";
}

void PrintReport(const ValidationReport& report, bool quiet) {
  for (const CheckResult& result : report.results) {
    const bool passed = result.outcome.status == CheckStatus::kPassed ||
                        result.outcome.status == CheckStatus::kSkipped;
    if (!quiet || !passed) PrintResult(result);
  }
  if (quiet && report.verdict == Verdict::kHeld) return;
  fmt::print("\n{}: {} ({} passed, {} damaged, {} broken, {} skipped; {:.1f} s)\n",
             Printable(report.options.map_path.string()), VerdictText(report.verdict),
             report.CountOf(CheckStatus::kPassed), report.CountOf(CheckStatus::kDamaged),
             report.CountOf(CheckStatus::kBroken), report.CountOf(CheckStatus::kSkipped),
             report.seconds);
  if (!report.advice.empty()) fmt::print("What to do: {}\n", Printable(report.advice));
}

ExitCode ExitCodeOf(Verdict verdict) {
  switch (verdict) {
    case Verdict::kHeld:
      return ExitCode::kSuccess;
    case Verdict::kDamaged:
      return ExitCode::kDamaged;
    case Verdict::kBroken:
      return ExitCode::kPromiseBroken;
    case Verdict::kCancelled:
      return ExitCode::kInterrupted;
  }
  return ExitCode::kInternal;
}

Result<ExitCode> RunValidate(const ValidateArguments& arguments) {
  GS_ASSIGN(const ValidationOptions options, MakeOptions(arguments));
  GS_TRY(RecoverModel(arguments.map));
  const auto progress = MakeProgress(arguments.quiet);
  GS_ASSIGN(const ValidationReport report, RunValidation(options, *progress));
  for (const std::string& path : arguments.reports) GS_TRY(WriteReport(report, path));
  if (arguments.json) {
    PrintJson(ReportJson(report));
  } else {
    PrintReport(report, arguments.quiet);
  }
  return ExitCodeOf(report.verdict);
}

void AddFaultOptions(CLI::App& command, ValidateArguments& arguments) {
  command.add_option("--seed", arguments.seed, "Of everything that is left to chance")
      ->capture_default_str()
      ->type_name("S");
  command
      .add_option("--faults", arguments.faults,
                  "Damaged pages to inject in all (default: 2100 with --quick, 210000 with --full)")
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 40))
      ->type_name("N");
  command
      .add_option("--soak", arguments.soak_seconds,
                  "How long run.soak generates (default: 1 with --quick, 30 with --full)")
      ->check(CLI::Range(1u, 10'000'000u))
      ->type_name("SECONDS");
  command
      .add_option("--only", arguments.only,
                  "One check, or all whose names begin so: core, patch, chaos, ...")
      ->type_name("NAME");
}

}  // namespace

void AddValidateCommand(CLI::App& app, CommandLine& line) {
  auto arguments = std::make_shared<ValidateArguments>();
  CLI::App* command = app.add_subcommand(
      "validate", "Check a core, and what this program promises when things go wrong");
  command->add_option("map", arguments->map, "The map, or the directory of core.sgmap")
      ->required()
      ->type_name("CORE.sgmap");
  command->add_option("--patch", arguments->patches, "Check this patch of the core too; repeatable")
      ->type_name("PATCH.sgdelta");
  command
      ->add_option("--device", arguments->device,
                   "Compared with the CPU, and gets faults too: auto, cpu (none), vulkan, vulkan:N")
      ->capture_default_str()
      ->type_name("DEVICE");
  CLI::Option* quick =
      command->add_flag("--quick", arguments->quick,
                        "Seconds on a small model; a sample of the faults (the default)");
  command->add_flag("--full", arguments->full, "A hundred times the faults, and larger copies")
      ->excludes(quick);
  command
      ->add_option("--report", arguments->reports,
                   "Write a report: FILE.json, FILE.html or FILE.xml (JUnit); repeatable")
      ->type_name("FILE");
  AddFaultOptions(*command, *arguments);
  command->add_option("--scratch", arguments->scratch, "Where copies go (default: the system's)")
      ->type_name("DIR");
  command->add_flag("--json", arguments->json, "Print the report as JSON");
  AddQuietFlag(*command, arguments->quiet);
  command->callback(
      [arguments, &line] { line.run = [arguments] { return RunValidate(*arguments); }; });
}

}  // namespace gguf_shard
