// Disks that fill up and machines that stop in the middle of a change, on copies of the sample: the
// old state or the new one, never anything else.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "core/cancel.h"
#include "delta/in_place.h"
#include "forge/shard.h"
#include "validate/check_list.h"
#include "validate/context.h"
#include "validate/core_actions.h"
#include "validate/crash_check.h"
#include "validate/fault_file_operations.h"

namespace gguf_shard {
namespace {

namespace fs = std::filesystem;

// A folder with a core, its source and a patch, and the changes that are tried in it.
struct Stage {
  fs::path pristine;
  Sha256Digest base{};
  Sha256Digest target{};

  static Result<Stage> Create(ValidationContext& context, std::string_view name) {
    GS_ASSIGN(const SampleModel* sample, context.sample());
    Stage stage;
    GS_ASSIGN(stage.pristine, context.ScratchFolder(std::string(name) + "_pristine"));
    GS_ASSIGN(stage.base, DigestOf(sample->base_gguf));
    GS_ASSIGN(stage.target, DigestOf(sample->target_gguf));
    std::error_code error;
    fs::copy(sample->core, stage.pristine / "core", fs::copy_options::recursive, error);
    if (!error) fs::copy_file(sample->patch, stage.pristine / "p.sgdelta", error);
    if (!error) fs::copy_file(sample->base_gguf, stage.pristine / "base.gguf", error);
    if (error) return Fail(Error(ErrorCode::kIo, "cannot copy the sample: " + error.message()));
    return stage;
  }

  // What the core in `work` is now.
  CrashState Identify(const fs::path& work, std::string& found) const {
    NoProgress progress;
    const auto report = VerifyCore(work / "core", VerifyDepth::kFull, progress);
    if (!report) {
      found = report.error().ToString();
      return CrashState::kNeither;
    }
    found = report->intact() ? "another model" : "a damaged core";
    if (!report->intact()) return CrashState::kNeither;
    const Sha256Digest& source = report->map.source.files.front().sha256;
    if (source == base) return CrashState::kOld;
    return source == target ? CrashState::kNew : CrashState::kNeither;
  }
};

Result<void> Recover(const fs::path& work) {
  GS_TRY(RecoverCore(work / "core"));
  return {};
}

Result<void> Apply(const fs::path& work) {
  NoProgress progress;
  return PatchInPlace(work / "core" / kMapFileName, work / "p.sgdelta", progress);
}

Result<void> Undo(const fs::path& work) {
  NoProgress progress;
  return UndoInPlace(work / "core", progress);
}

CrashState Reversed(CrashState state) {
  if (state == CrashState::kNeither) return state;
  return state == CrashState::kOld ? CrashState::kNew : CrashState::kOld;
}

// Apply, or undo after an apply.
Result<CrashScenario> MakeScenario(const Stage& stage, bool undo) {
  CrashScenario scenario;
  scenario.name = undo ? "undo" : "apply in place";
  scenario.pristine = stage.pristine;
  scenario.act = undo ? Undo : Apply;
  scenario.restart = Recover;
  scenario.identify = [&stage, undo](const fs::path& work, std::string& found) {
    const CrashState state = stage.Identify(work, found);
    return undo ? Reversed(state) : state;
  };
  if (undo) GS_TRY(Apply(stage.pristine));
  return scenario;
}

Result<Outcome> CheckInterrupted(ValidationContext& context) {
  GS_ASSIGN(const Stage stage, Stage::Create(context, "crash"));
  GS_ASSIGN(const fs::path work, context.ScratchFolder("crash_work"));
  CrashOptions options;
  options.seed = context.options().seed;
  options.max_crashes = std::max<uint64_t>(4, context.FaultsOf(60));
  options.progress = &context.progress();
  Outcome outcome;
  uint64_t old_count = 0;
  context.progress().StartSteps("disk.interrupted", 2 * options.max_crashes);
  for (const bool undo : {false, true}) {
    GS_ASSIGN(const CrashScenario scenario, MakeScenario(stage, undo));
    GS_ASSIGN(const CrashReport report, CheckCrashes(scenario, work, options));
    outcome.injected += report.crash_count;
    outcome.detected += report.ended_old + report.ended_new;
    old_count += report.ended_old;
    ++outcome.clean;
    for (const CrashFailure& failure : report.failures) {
      Finding finding;
      finding.what =
          fmt::format("{} cut at change {} of {} with seed {}: {}", scenario.name, failure.crash_at,
                      report.change_count, failure.seed, failure.found);
      outcome.findings.push_back(std::move(finding));
    }
  }
  JudgeDetection(outcome);
  outcome.happened = fmt::format(
      "after {} of {} cuts the next start finds the old state or the "
      "new one ({} old)",
      outcome.detected, outcome.injected, old_count);
  return outcome;
}

// The disk is full from one change on; afterwards there is room again and the next start begins.
Result<void> FillUp(const CrashScenario& scenario, const fs::path& work, uint64_t most,
                    Progress& progress, Outcome& outcome) {
  GS_TRY(Refill(scenario.pristine, work));
  FaultFileOperations operations(0);
  {
    const ScopedFileOperations scope(operations);
    GS_TRY(scenario.act(work));
  }
  const uint64_t changes = operations.change_count();
  ++outcome.clean;
  for (uint64_t i = 0; i < std::min(most, changes); ++i) {
    GS_TRY(CheckCancelled());
    progress.Advance(1);
    const uint64_t change = i * changes / std::min(most, changes);
    GS_TRY(Refill(scenario.pristine, work));
    operations.FailChangesFrom(change, ENOSPC);
    Result<void> acted;
    {
      const ScopedFileOperations scope(operations);
      acted = scenario.act(work);
    }
    ++outcome.injected;
    std::string found = "no error";
    const bool refused = !acted && acted.error().code() == ErrorCode::kNoSpace;
    if (!acted) found = acted.error().ToString();
    const bool whole =
        scenario.restart(work) && scenario.identify(work, found) != CrashState::kNeither;
    // Without an error the change was one that may fail: a reservation, for example.
    const bool finished = acted && scenario.identify(work, found) == CrashState::kNew;
    outcome.detected += whole && (refused || finished) ? 1 : 0;
    if (whole && (refused || finished)) continue;
    Finding finding;
    finding.what = fmt::format("{} with a full disk from change {} of {}: {}", scenario.name,
                               change, changes, found);
    outcome.findings.push_back(std::move(finding));
  }
  return {};
}

CrashScenario ShardScenario(const Stage& stage) {
  CrashScenario scenario;
  scenario.name = "shard";
  scenario.pristine = stage.pristine;
  scenario.act = [](const fs::path& work) -> Result<void> {
    NoProgress progress;
    ShardOptions options;
    options.output_directory = work / "new";
    GS_TRY(ShardModel(work / "base.gguf", options, progress));
    return {};
  };
  scenario.restart = [](const fs::path&) -> Result<void> { return {}; };
  scenario.identify = [](const fs::path& work, std::string& found) {
    NoProgress progress;
    const auto intact = IsIntact(work / "new", progress);
    if (intact) return *intact ? CrashState::kNew : CrashState::kNeither;
    found = intact.error().ToString();
    return intact.error().code() == ErrorCode::kNotFound ? CrashState::kOld : CrashState::kNeither;
  };
  return scenario;
}

Result<Outcome> CheckFullDisk(ValidationContext& context) {
  GS_ASSIGN(const Stage stage, Stage::Create(context, "full"));
  GS_ASSIGN(const fs::path work, context.ScratchFolder("full_work"));
  const uint64_t most = std::max<uint64_t>(4, context.FaultsOf(100));
  Outcome outcome;
  context.progress().StartSteps("disk.full", 3 * most);
  GS_TRY(FillUp(ShardScenario(stage), work, most, context.progress(), outcome));
  for (const bool undo : {false, true}) {
    GS_ASSIGN(const CrashScenario scenario, MakeScenario(stage, undo));
    GS_TRY(FillUp(scenario, work, most, context.progress(), outcome));
  }
  JudgeDetection(outcome);
  outcome.happened = fmt::format(
      "{} of {} full disks end in a clear error and the old state, or "
      "do not matter",
      outcome.detected, outcome.injected);
  return outcome;
}

}  // namespace

void AddDiskChaosChecks(std::vector<Check>& checks) {
  const auto group = CheckGroup::kChaos;
  checks.push_back({"disk.full", group,
                    "shard, apply and undo on a full disk say so and leave the old state",
                    CheckFullDisk});
  checks.push_back({"disk.interrupted", group,
                    "an apply or undo that is cut off at any change, with unsynced writes lost, "
                    "leaves the old state or the new one",
                    CheckInterrupted});
}

}  // namespace gguf_shard
