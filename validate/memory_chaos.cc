// Memory pressure by the system: a child process that may not have more address space runs the
// model. It ends with the right logits or with a clear refusal; never by a signal.
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <new>
#include <system_error>

#include "core/cancel.h"
#include "core/sanitizer.h"
#include "validate/check_list.h"
#include "validate/context.h"

namespace gguf_shard {
namespace {

// Exit codes of the child.
enum class Ending : int { kSameLogits = 0, kOtherLogits = 1, kRefused = 2, kOtherError = 3 };

uint64_t AddressSpaceBytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t pages = 0;
  statm >> pages;
  return pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

Ending RunInChild(const ValidationContext& context, const std::vector<TokenId>& tokens,
                  const std::vector<float>& expected) {
  try {
    const auto logits = ProbeLogits(context.options().map_path, ProbeOptions(), tokens);
    if (logits) return *logits == expected ? Ending::kSameLogits : Ending::kOtherLogits;
    const ErrorCode code = logits.error().code();
    const bool refused = code == ErrorCode::kOutOfMemory || code == ErrorCode::kBudgetTooSmall;
    return refused ? Ending::kRefused : Ending::kOtherError;
  } catch (const std::bad_alloc&) {
    return Ending::kRefused;  // as the program reports it
  } catch (const std::system_error&) {
    return Ending::kRefused;  // no thread
  }
}

// The wait status of a child with `more_bytes` of address space beyond what there is now.
Result<int> RunWith(uint64_t more_bytes, const ValidationContext& context,
                    const std::vector<TokenId>& tokens, const std::vector<float>& expected) {
  const pid_t child = fork();
  if (child < 0) return Fail(ErrorCode::kOutOfMemory, "cannot start a process");
  if (child == 0) {
    const rlim_t limit = AddressSpaceBytes() + more_bytes;
    const rlimit limits{limit, limit};
    if (setrlimit(RLIMIT_AS, &limits) != 0) _exit(static_cast<int>(Ending::kRefused));
    _exit(static_cast<int>(RunInChild(context, tokens, expected)));
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  return status;
}

void CountEnding(int status, uint64_t mebibytes, Outcome& outcome) {
  ++outcome.injected;
  const bool exited = WIFEXITED(status);
  const auto ending = static_cast<Ending>(exited ? WEXITSTATUS(status) : -1);
  if (exited && ending == Ending::kRefused) {
    ++outcome.detected;
  } else if (exited && ending == Ending::kSameLogits) {
    ++outcome.harmless;
  } else {
    Finding finding;
    finding.what =
        exited ? fmt::format("with {} MiB more: other logits or another error (exit {})", mebibytes,
                             WEXITSTATUS(status))
               : fmt::format("with {} MiB more: ended by signal {}", mebibytes, WTERMSIG(status));
    outcome.findings.push_back(std::move(finding));
  }
}

Result<Outcome> CheckPressure(ValidationContext& context) {
  if (kSanitizerManagesMemory) return Skipped("a sanitizer's address space cannot be limited");
  GS_ASSIGN(const auto tokens, context.PromptTokens());
  GS_ASSIGN(const std::vector<float>* expected, context.reference_logits());
  Outcome outcome;
  constexpr std::array<uint64_t, 10> kMebibytes = {0, 1, 2, 4, 8, 16, 32, 64, 128, 1024};
  context.progress().StartSteps("memory.pressure", kMebibytes.size());
  for (const uint64_t mebibytes : kMebibytes) {
    GS_TRY(CheckCancelled());
    context.progress().Advance(1);
    GS_ASSIGN(const int status, RunWith(mebibytes << 20, context, tokens, *expected));
    CountEnding(status, mebibytes, outcome);
  }
  JudgeDetection(outcome);
  outcome.happened = fmt::format(
      "of {} runs with little address space {} were refused with an error and {} gave "
      "the same logits",
      outcome.injected, outcome.detected, outcome.harmless);
  return outcome;
}

}  // namespace

void AddMemoryChaosChecks(std::vector<Check>& checks) {
  checks.push_back({"memory.pressure", CheckGroup::kChaos,
                    "a run that the system refuses memory ends with an error, not by a signal",
                    CheckPressure});
}

}  // namespace gguf_shard
