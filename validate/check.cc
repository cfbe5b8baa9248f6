#include "validate/check.h"

#include <fmt/format.h>

#include <utility>

namespace gguf_shard {

std::string_view CheckGroupName(CheckGroup group) {
  switch (group) {
    case CheckGroup::kIntegrity:
      return "integrity";
    case CheckGroup::kChaos:
      return "chaos";
    case CheckGroup::kThroughput:
      return "throughput";
  }
  return "unknown";
}

std::string_view CheckStatusName(CheckStatus status) {
  switch (status) {
    case CheckStatus::kPassed:
      return "passed";
    case CheckStatus::kDamaged:
      return "damaged";
    case CheckStatus::kBroken:
      return "broken";
    case CheckStatus::kSkipped:
      return "skipped";
  }
  return "unknown";
}

Outcome Passed(std::string happened) {
  Outcome outcome;
  outcome.happened = std::move(happened);
  return outcome;
}

Outcome Skipped(std::string why) {
  Outcome outcome = Passed(std::move(why));
  outcome.status = CheckStatus::kSkipped;
  return outcome;
}

Outcome Broken(std::string happened) {
  Outcome outcome = Passed(std::move(happened));
  outcome.status = CheckStatus::kBroken;
  return outcome;
}

void JudgeDetection(Outcome& outcome) {
  const bool all = outcome.detected + outcome.harmless == outcome.injected;
  if (!all || outcome.false_alarms > 0) outcome.status = CheckStatus::kBroken;
  outcome.happened = fmt::format("{} of {} faults detected", outcome.detected, outcome.injected);
  if (outcome.harmless > 0) {
    outcome.happened += fmt::format(", {} changed nothing that counts", outcome.harmless);
  }
  outcome.happened += fmt::format("; {} false alarms in {} looks at what was intact",
                                  outcome.false_alarms, outcome.clean);
}

}  // namespace gguf_shard
