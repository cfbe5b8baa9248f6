// Does a change of files survive a crash at any moment? Runs an action in a fresh copy of a folder,
// crashes it at its n-th change of the file system (validate/crash_file_operations.h), for every n,
// and once when it is done, loses what was not synced, lets the next start do what it does, and
// asks what is there now: it must be the old state or the new one, and the new one when the action
// had said that it was done.
// For one thread, while no other uses core's files: the operations below them are replaced.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/progress.h"

namespace gguf_shard {

enum class CrashState : uint8_t { kOld, kNew, kNeither };

struct CrashScenario {
  std::string name;
  std::filesystem::path pristine;  // the folder as it is before
  std::function<Result<void>(const std::filesystem::path& work)> act;
  std::function<Result<void>(const std::filesystem::path& work)> restart;
  // kNeither with what was found instead, in `found`.
  std::function<CrashState(const std::filesystem::path& work, std::string& found)> identify;
};

struct CrashFailure {
  uint64_t crash_at = 0;
  uint64_t seed = 0;
  std::string found;
};

struct CrashReport {
  uint64_t change_count = 0;  // of the action when nothing goes wrong
  uint64_t crash_count = 0;
  uint64_t ended_old = 0;
  uint64_t ended_new = 0;
  std::vector<CrashFailure> failures;
  bool survived() const { return failures.empty(); }
};

struct CrashOptions {
  uint64_t seed = 1;
  uint32_t seeds_per_change = 2;        // different losses of what was not synced
  uint64_t max_crashes = ~uint64_t{0};  // evenly spread over the changes when there are more
  Progress* progress = nullptr;         // gets a step for each crash
};

// Makes `work` a copy of `pristine`.
Result<void> Refill(const std::filesystem::path& pristine, const std::filesystem::path& work);

// `work` is emptied before every run. An error when the action fails without a crash.
Result<CrashReport> CheckCrashes(const CrashScenario& scenario, const std::filesystem::path& work,
                                 const CrashOptions& options);

}  // namespace gguf_shard
