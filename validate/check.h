// What a check of `validate` is: a name, a promise, and a function that tries to break it; and what
// came of it. The list of all checks is validate/check_list.h, the runner validate/validation.h.
// Thread-safety: plain data; a check runs on one thread and may use others while it runs.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/map.h"

namespace gguf_shard {

enum class CheckGroup : uint8_t { kIntegrity, kChaos, kThroughput };
std::string_view CheckGroupName(CheckGroup group);  // "integrity", "chaos", "throughput"

enum class CheckStatus : uint8_t {
  kPassed,
  kDamaged,  // something is wrong with the user's files
  kBroken,   // the program did not do what it promises
  kSkipped,  // could not be tried here; Outcome::happened says why
};
std::string_view CheckStatusName(CheckStatus status);  // "passed", "damaged", "broken", "skipped"

// Something that is wrong, and where.
struct Finding {
  std::string what;
  std::string owner;              // the tensor, or another part of the core; may be empty
  std::optional<uint32_t> layer;  // of the tensor
  std::string zone;               // of the tensor
  PageRange pages;                // none when it is not about pages
  std::string expected;
  std::string found;
};

// A measurement; with the machine's own limit for the same work where there is one.
struct Measurement {
  std::string name;
  double value = 0;
  std::string unit;
  double limit = 0;  // 0: none
  std::string limit_name;
  double ratio() const { return limit > 0 ? value / limit : 0; }
};

// A run of the model with so much memory for its pages.
struct BudgetPoint {
  uint64_t pool_bytes = 0;
  double tokens_per_second = 0;
  double expected_tokens_per_second = 0;  // the machine's limit
  double hit_ratio = 0;        // of the pages that were needed, those that were in memory
  double bytes_per_token = 0;  // read
};

struct Outcome {
  CheckStatus status = CheckStatus::kPassed;
  std::string happened;  // a sentence
  std::string sampled;   // what was looked at when that was not everything
  uint64_t injected = 0;
  uint64_t detected = 0;      // of the injected faults
  uint64_t harmless = 0;      // of the injected faults: changed nothing that counts
  uint64_t clean = 0;         // looked at without a fault
  uint64_t false_alarms = 0;  // of the clean ones
  std::vector<Finding> findings;
  std::vector<Measurement> measurements;
  std::vector<BudgetPoint> budgets;
  double seconds = 0;
};

class ValidationContext;

struct Check {
  std::string name;  // "pages.bit_flip": what --only takes
  CheckGroup group;
  std::string promise;
  std::function<Result<Outcome>(ValidationContext&)> run;
};

// Outcomes in one line.
Outcome Passed(std::string happened);
Outcome Skipped(std::string why);
Outcome Broken(std::string happened);

// kBroken when faults were missed or there were false alarms, with a sentence that counts them.
void JudgeDetection(Outcome& outcome);

}  // namespace gguf_shard
