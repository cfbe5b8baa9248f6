// `gguf-shard validate`: runs the checks and judges. Never writes to the user's files: it reads
// them, and damages copies in a scratch folder or the bytes on their way from the disk
// (validate/fault_file_operations.h).
//
// While it runs it may put other file operations in place (core/file_operations.h): nothing else of
// the process should use files. For one thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/map.h"
#include "core/progress.h"
#include "validate/check.h"
#include "validate/context.h"
#include "validate/residency_map.h"

namespace gguf_shard {

enum class Verdict : uint8_t {
  kHeld,       // every promise held, nothing is damaged
  kDamaged,    // something is wrong with the user's files
  kBroken,     // the program broke a promise
  kCancelled,  // before the end, with nothing wrong so far
};
std::string_view VerdictName(Verdict verdict);  // "held", "damaged", "broken", "cancelled"

struct CheckResult {
  std::string name;
  CheckGroup group = CheckGroup::kIntegrity;
  std::string promise;
  std::string repeat;  // the command that does this check again
  Outcome outcome;
};

struct ValidationReport {
  ValidationOptions options;
  std::string core_path;
  std::optional<CoreMap> map;  // nothing when the map cannot be read
  uint64_t core_bytes = 0;
  ResidencyMap residency;  // empty when the model cannot be run
  std::vector<CheckResult> results;
  Verdict verdict = Verdict::kHeld;
  std::string advice;  // what to do; empty when there is nothing to do
  double seconds = 0;

  uint64_t CountOf(CheckStatus status) const;
};

// An error only when nothing can be checked: no such file, no such check, no scratch folder.
Result<ValidationReport> RunValidation(const ValidationOptions& options, Progress& progress);

// A word as a shell reads it.
std::string QuoteForShell(const std::string& word);
// The command line that repeats one check.
std::string RepeatCommand(const ValidationOptions& options, std::string_view check_name);

}  // namespace gguf_shard
