#include "validate/validation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <chrono>

#include "core/cancel.h"
#include "core/clock.h"
#include "validate/check_list.h"

namespace gguf_shard {
namespace {

using Clock = std::chrono::steady_clock;

bool IsDamage(ErrorCode code) {
  return code == ErrorCode::kChecksumMismatch || code == ErrorCode::kTruncated ||
         code == ErrorCode::kMalformed || code == ErrorCode::kMismatch;
}

bool IsNoFault(ErrorCode code) {
  return code == ErrorCode::kUnsupported || code == ErrorCode::kNoSpace ||
         code == ErrorCode::kBudgetTooSmall || code == ErrorCode::kOutOfMemory ||
         code == ErrorCode::kTooLarge;
}

// What an error that a check did not expect says about the user's files or this program.
Outcome OutcomeOf(const Error& error) {
  if (IsNoFault(error.code())) return Skipped("could not be tried here: " + error.ToString());
  Outcome outcome = Broken(error.ToString());
  if (!IsDamage(error.code())) return outcome;
  outcome.status = CheckStatus::kDamaged;
  Finding finding;
  finding.what = error.sentence();
  finding.owner = error.tensor();
  if (error.page_index()) finding.pages = {*error.page_index(), 1};
  finding.expected = error.expected();
  finding.found = error.found();
  outcome.findings.push_back(std::move(finding));
  return outcome;
}

bool IsChosen(const Check& check, const std::string& only) {
  return only.empty() || check.name == only || check.name.starts_with(only + ".") ||
         CheckGroupName(check.group) == only;
}

Result<std::vector<Check>> ChosenChecks(const std::string& only) {
  std::vector<Check> checks = AllChecks();
  std::string names;
  for (const Check& check : checks) names += (names.empty() ? "" : ", ") + check.name;
  std::erase_if(checks, [&](const Check& check) { return !IsChosen(check, only); });
  if (!checks.empty()) return checks;
  return Fail(Error(ErrorCode::kInvalidArgument, "there is no check of this name (--only)")
                  .Expected("integrity, chaos, throughput, or one of " + names)
                  .Found(only));
}

// Of the weights, in memory: what the report's map of pages shows.
constexpr double kShownShare = 0.5;

Result<void> CheckPatchesExist(const ValidationOptions& options) {
  for (const auto& patch : options.patches) {
    std::error_code ignored;
    if (std::filesystem::exists(patch, ignored)) continue;
    return Fail(Error(ErrorCode::kNotFound, "there is no such patch").File(patch.string()));
  }
  return {};
}

// What can be said about the model without checking it. Damage is the first check's to report.
Result<void> DescribeModel(ValidationContext& context, ValidationReport& report) {
  const auto core = context.core();
  if (!core && IsDamage(core.error().code())) return {};
  if (!core) return Fail(core.error());
  report.map = (*core)->map();
  report.core_path = (*core)->file().path().string();
  report.core_bytes = (*core)->file().size_bytes();
  if (auto residency = MapResidency(report.options.map_path, kShownShare)) {
    report.residency = std::move(*residency);
  }
  return {};
}

Verdict VerdictOf(const ValidationReport& report, bool cancelled) {
  if (report.CountOf(CheckStatus::kDamaged) > 0) return Verdict::kDamaged;
  if (report.CountOf(CheckStatus::kBroken) > 0) return Verdict::kBroken;
  return cancelled ? Verdict::kCancelled : Verdict::kHeld;
}

std::string AdviceOf(const ValidationReport& report) {
  switch (report.verdict) {
    case Verdict::kDamaged:
      return fmt::format(
          "replace what is damaged from a good copy (the GGUF that the core was made from, or "
          "another core of it): gguf-shard verify {} --repair --from GOOD_COPY",
          QuoteForShell(report.options.map_path.string()));
    case Verdict::kBroken:
      return "the files are as they should be; the program is not: please report this, with the "
             "commands that repeat the failed checks";
    default:
      return "";
  }
}

// The check that says why a core does not open.
constexpr std::string_view kOpeningCheck = "core.map";

bool NeedsIntactCore(const Check& check) { return !check.name.starts_with("core."); }

Outcome RunCheck(const Check& check, ValidationContext& context) {
  if (context.core_is_damaged() && NeedsIntactCore(check)) {
    return Skipped("the core is damaged: nothing can be said about faults on top of that");
  }
  if (check.name != kOpeningCheck && !context.core()) {
    return Skipped("the core does not open: see " + std::string(kOpeningCheck));
  }
  auto outcome = check.run(context);
  context.progress().Finish();
  return outcome ? std::move(*outcome) : OutcomeOf(outcome.error());
}

}  // namespace

std::string_view VerdictName(Verdict verdict) {
  switch (verdict) {
    case Verdict::kHeld:
      return "held";
    case Verdict::kDamaged:
      return "damaged";
    case Verdict::kBroken:
      return "broken";
    case Verdict::kCancelled:
      return "cancelled";
  }
  return "unknown";
}

uint64_t ValidationReport::CountOf(CheckStatus status) const {
  return static_cast<uint64_t>(std::count_if(
      results.begin(), results.end(),
      [status](const CheckResult& result) { return result.outcome.status == status; }));
}

std::string QuoteForShell(const std::string& word) {
  const auto is_plain = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '/' || c == '.' || c == '_' || c == '-' || c == ':';
  };
  if (!word.empty() && std::all_of(word.begin(), word.end(), is_plain)) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

std::string RepeatCommand(const ValidationOptions& options, std::string_view check_name) {
  std::string command = "gguf-shard validate " + QuoteForShell(options.map_path.string());
  for (const auto& patch : options.patches) command += " --patch " + QuoteForShell(patch.string());
  if (!options.device_text.empty()) command += " --device " + QuoteForShell(options.device_text);
  command += options.full ? " --full" : " --quick";
  if (options.faults > 0) command += fmt::format(" --faults {}", options.faults);
  if (options.soak_seconds > 0) command += fmt::format(" --soak {}", options.soak_seconds);
  return command + fmt::format(" --only {} --seed {}", check_name, options.seed);
}

Result<ValidationReport> RunValidation(const ValidationOptions& options, Progress& progress) {
  GS_ASSIGN(const std::vector<Check> checks, ChosenChecks(options.only));
  GS_TRY(CheckPatchesExist(options));
  const auto start = Clock::now();
  ValidationReport report;
  report.options = options;
  ValidationContext context(options, progress);
  GS_TRY(DescribeModel(context, report));
  for (const Check& check : checks) {
    const auto check_start = Clock::now();
    Outcome outcome = RunCheck(check, context);
    if (CancelRequested()) break;
    outcome.seconds = SecondsSince(check_start);
    report.results.push_back({check.name, check.group, check.promise,
                              RepeatCommand(options, check.name), std::move(outcome)});
  }
  report.verdict = VerdictOf(report, CancelRequested());
  report.advice = AdviceOf(report);
  report.seconds = SecondsSince(start);
  return report;
}

}  // namespace gguf_shard
