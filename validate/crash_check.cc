#include "validate/crash_check.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/cancel.h"
#include "core/file_operations.h"
#include "validate/crash_file_operations.h"

namespace gguf_shard {
namespace {

namespace fs = std::filesystem;

Result<uint64_t> CountChanges(const CrashScenario& scenario, const fs::path& work) {
  GS_TRY(Refill(scenario.pristine, work));
  CrashFileOperations operations(CrashFileOperations::kNever, 0);
  {
    const ScopedFileOperations scope(operations);
    GS_TRY(scenario.act(work));
  }
  std::string found;
  if (scenario.identify(work, found) == CrashState::kNew) return operations.change_count();
  return Fail(
      ErrorCode::kMismatch,
      fmt::format("{} without a crash did not end in the new state: {}", scenario.name, found));
}

Result<void> Crash(const CrashScenario& scenario, const fs::path& work, uint64_t crash_at,
                   uint64_t seed, CrashReport& report) {
  GS_TRY(Refill(scenario.pristine, work));
  CrashFileOperations operations(crash_at, seed);
  Result<void> acted;
  {
    const ScopedFileOperations scope(operations);
    acted = scenario.act(work);
  }
  operations.LoseUnsynced();
  ++report.crash_count;
  std::string found;
  const auto restarted = scenario.restart(work);
  const CrashState state = restarted ? scenario.identify(work, found) : CrashState::kNeither;
  if (!restarted) found = "the next start failed: " + restarted.error().ToString();
  if (acted && state == CrashState::kOld) {
    report.failures.push_back({crash_at, seed, "it was said to be done, and is lost"});
  }
  report.ended_old += state == CrashState::kOld ? 1 : 0;
  report.ended_new += state == CrashState::kNew ? 1 : 0;
  if (state == CrashState::kNeither) report.failures.push_back({crash_at, seed, found});
  return {};
}

}  // namespace

Result<void> Refill(const fs::path& pristine, const fs::path& work) {
  std::error_code error;
  fs::remove_all(work, error);
  fs::create_directories(work, error);
  fs::copy(pristine, work, fs::copy_options::recursive, error);
  if (!error) return {};
  return Fail(Error(ErrorCode::kIo, fmt::format("cannot copy the folder: {}", error.message()))
                  .File(work.string()));
}

Result<CrashReport> CheckCrashes(const CrashScenario& scenario, const fs::path& work,
                                 const CrashOptions& options) {
  CrashReport report;
  GS_ASSIGN(report.change_count, CountChanges(scenario, work));
  // The last crash comes when all is done.
  const uint64_t all = (report.change_count + 1) * options.seeds_per_change;
  const uint64_t count = std::min(all, options.max_crashes);
  for (uint64_t i = 0; i < count; ++i) {
    GS_TRY(CheckCancelled());
    if (options.progress != nullptr) options.progress->Advance(1);
    const uint64_t place = i * all / count;
    GS_TRY(Crash(scenario, work, place / options.seeds_per_change, options.seed + place, report));
  }
  return report;
}

}  // namespace gguf_shard
