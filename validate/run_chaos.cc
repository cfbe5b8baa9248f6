// A model runs, by the processor or by a Vulkan device, while its disk misbehaves or memory is
// short: right logits or a clear error, never wrong logits.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "atlas/page_pool.h"
#include "core/cancel.h"
#include "validate/check_list.h"
#include "validate/page_damage.h"
#include "validate/run_trials.h"

namespace gguf_shard {
namespace {

// "run.thrash", "device.thrash"
std::string NameOf(RunPlace place, std::string_view trial) {
  return fmt::format("{}.{}", place == RunPlace::kDevice ? "device" : "run", trial);
}

// A report may not look as if a large core had been tried as often as a small one.
void NoteFewRuns(ValidationContext& context, Outcome& outcome) {
  if (!context.core_is_large()) return;
  outcome.sampled = fmt::format("{} runs, fewer than of a small model: each reads gigabytes",
                                outcome.injected + outcome.clean);
}

void JudgeByPaths(const RunTrials& trials, const FaultFileOperations& operations,
                  Outcome& outcome) {
  JudgeDetection(outcome);
  outcome.happened += "; pages " + trials.PathText();
  if (trials.place == RunPlace::kDevice) return;
  // Faults that one of the readers never met would prove nothing about it; a few may all have hit
  // what is read when a core is opened.
  constexpr uint64_t kEnoughFaults = 10;
  const bool enough = trials.PathCount() > 1 && outcome.injected >= kEnoughFaults;
  if (!enough || operations.uring_fault_count() > 0) return;
  outcome.status = CheckStatus::kBroken;
  outcome.happened += ", but no read by io_uring met a fault";
}

// Of a pair that changed places, one at a time is a duplicate.
Result<Outcome> CheckDamagedPages(ValidationContext& context, RunPlace place) {
  GS_ASSIGN(RunTrials trials, RunTrials::Create(context, place));
  auto random = context.RandomOf(NameOf(place, "damaged_pages"));
  FaultFileOperations operations(context.options().seed);
  GS_TRY(operations.SetTarget(trials.core.file().path()));
  GS_ASSIGN(const PagePool pool, PagePool::Allocate(2));
  Outcome outcome;
  const uint64_t count = trials.Count(100);
  context.progress().StartSteps(NameOf(place, "damaged_pages"), count);
  for (uint64_t i = 0; i < count; ++i) {
    GS_TRY(CheckCancelled());
    context.progress().Advance(1);
    const auto kind = kPageDamageKinds[i % kPageDamageKinds.size()];
    if (kind == PageDamageKind::kSwapped) continue;
    trials.ChoosePath(i);
    // Two neighbours: the second is what is written over the first.
    const PageRange window{random() % (trials.core.map().core.index.first_page - 1), 2};
    const std::span bytes(pool.slot(0), 2 * kPageBytes);
    GS_TRY(trials.core.ReadRaw(window.first_page, bytes));
    auto damaged = DamagePages(trials.core, window, bytes, kind, 2, random);
    if (damaged.empty()) continue;
    damaged.resize(1);
    const uint64_t page = damaged[0].page_index;
    Inject(trials.core, std::move(damaged), operations);
    trials.CountNamed(page, ErrorCode::kChecksumMismatch, trials.Run(operations),
                      PageDamageName(kind), outcome);
    operations.ClearReadFaults();
    trials.CountClean(trials.Run(operations), "nothing wrong", outcome);
  }
  JudgeByPaths(trials, operations, outcome);
  return outcome;
}

Result<Outcome> CheckReadErrors(ValidationContext& context, RunPlace place) {
  GS_ASSIGN(RunTrials trials, RunTrials::Create(context, place));
  auto random = context.RandomOf(NameOf(place, "read_errors"));
  FaultFileOperations operations(context.options().seed);
  GS_TRY(operations.SetTarget(trials.core.file().path()));
  Outcome outcome;
  const uint64_t count = trials.Count(200);
  context.progress().StartSteps(NameOf(place, "read_errors"), count);
  for (uint64_t i = 0; i < count; ++i) {
    GS_TRY(CheckCancelled());
    context.progress().Advance(1);
    trials.ChoosePath(i);
    const uint64_t page = TensorPage(trials.core, random);
    const uint64_t times = 1 + random() % SurvivedFailures(trials.core, page);
    operations.FailReadsOf(trials.core.page_offset(page), times);
    trials.CountClean(trials.Run(operations), fmt::format("page {} failed {} times", page, times),
                      outcome);
    operations.FailReadsOf(trials.core.page_offset(page), FaultFileOperations::kNever);
    trials.CountNamed(page, ErrorCode::kIo, trials.Run(operations), "read error", outcome);
    operations.ClearReadFaults();
  }
  JudgeByPaths(trials, operations, outcome);
  return outcome;
}

Result<Outcome> CheckHesitantDisk(ValidationContext& context, RunPlace place) {
  GS_ASSIGN(RunTrials trials, RunTrials::Create(context, place));
  FaultFileOperations operations(context.options().seed);
  GS_TRY(operations.SetTarget(trials.core.file().path()));
  operations.ShortenReads(0.3);
  operations.InterruptReads(0.2);
  operations.DelayReads(0.1, std::chrono::microseconds(2000));
  Outcome outcome;
  const uint64_t count = trials.Count(500);
  context.progress().StartSteps(NameOf(place, "hesitant_disk"), count);
  for (uint64_t i = 0; i < count; ++i) {
    GS_TRY(CheckCancelled());
    context.progress().Advance(1);
    trials.ChoosePath(i);
    trials.CountClean(trials.Run(operations), "short, interrupted, slow reads", outcome);
  }
  JudgeDetection(outcome);
  outcome.happened = fmt::format("the same logits in {} of {} runs {}, in spite of {} such reads",
                                 outcome.clean - outcome.false_alarms, outcome.clean,
                                 trials.PathText(), operations.fault_count());
  return outcome;
}

// What a budget that cannot work must end in: an error that says what would do.
void CountRefused(const RunTrials& trials, const char* what, Outcome& outcome) {
  const auto logits = trials.Run();
  ++outcome.injected;
  const bool named = !logits && logits.error().code() == ErrorCode::kBudgetTooSmall &&
                     !logits.error().expected().empty();
  outcome.detected += named ? 1 : 0;
  Finding finding;
  finding.what = fmt::format("{}: {}", what, SayLogits(logits));
  if (!named) outcome.findings.push_back(std::move(finding));
}

// The smallest pool works; one page less is refused, with the smallest named; so are tiny budgets.
Result<Outcome> CheckMinimum(ValidationContext& context, RunPlace place) {
  constexpr uint64_t kTinyBytes = uint64_t{1} << 20;
  const bool on_device = place == RunPlace::kDevice;
  GS_ASSIGN(RunTrials trials, RunTrials::Create(context, place));
  Outcome outcome;
  uint64_t smallest = 0;
  // A staging buffer on the device is part of the pool: each path has its own smallest.
  const uint64_t count = on_device ? trials.PathCount() : 1;
  context.progress().StartSteps(NameOf(place, "minimum_budget"), count);
  for (uint64_t i = 0; i < count; ++i) {
    GS_TRY(CheckCancelled());
    context.progress().Advance(1);
    if (on_device) trials.ChoosePath(i);
    GS_ASSIGN(smallest, trials.SmallestPool());
    trials.options.pool_bytes = smallest;
    trials.CountClean(trials.Run(), "the smallest pool", outcome);
    trials.options.pool_bytes = smallest - kPageBytes;
    CountRefused(trials, "a page less than the smallest pool", outcome);
    trials.options.pool_bytes.reset();
  }
  if (on_device) {
    trials.options.device.vram_budget_bytes = kTinyBytes / 16;
    CountRefused(trials, "a device budget of 64 KiB", outcome);
  } else {
    trials.options.memory_budget_bytes = kTinyBytes;
    CountRefused(trials, "a budget of 1 MiB", outcome);
  }
  JudgeDetection(outcome);
  outcome.happened = fmt::format(
      "the smallest pool, {} KiB, gives the same logits; {} of {} "
      "smaller budgets are refused with what would do",
      smallest >> 10, outcome.detected, outcome.injected);
  return outcome;
}

// Pools near the smallest, the sequence begun again and again.
Result<Outcome> CheckThrash(ValidationContext& context, RunPlace place) {
  GS_ASSIGN(RunTrials trials, RunTrials::Create(context, place));
  auto random = context.RandomOf(NameOf(place, "thrash"));
  Outcome outcome;
  const uint64_t count = trials.Count(300);
  // A pass for each token would read gigabytes as often.
  const uint32_t least_batch = context.core_is_large() ? 4 : 1;
  context.progress().StartSteps(NameOf(place, "thrash"), count);
  for (uint64_t i = 0; i < count; ++i) {
    GS_TRY(CheckCancelled());
    context.progress().Advance(1);
    trials.ChoosePath(i);
    trials.options.batch_tokens = ProbeOptions().batch_tokens;
    trials.options.prefetch_distance.reset();
    trials.options.pool_bytes.reset();
    GS_ASSIGN(const uint64_t smallest, trials.SmallestPool());
    trials.options.pool_bytes = smallest + random() % 64 * kPageBytes;
    trials.options.batch_tokens = least_batch + static_cast<uint32_t>(random() % 8);
    trials.options.prefetch_distance = static_cast<uint32_t>(random() % 12);
    trials.CountClean(trials.Run(),
                      fmt::format("a pool of {} bytes, batches of {}", *trials.options.pool_bytes,
                                  trials.options.batch_tokens),
                      outcome);
  }
  JudgeDetection(outcome);
  outcome.happened = fmt::format("the same logits with {} of {} tiny pools",
                                 outcome.clean - outcome.false_alarms, outcome.clean);
  return outcome;
}

Result<Outcome> CheckSideBySide(ValidationContext& context, RunPlace place) {
  constexpr size_t kRuns = 4;
  GS_ASSIGN(RunTrials trials, RunTrials::Create(context, place));
  trials.options.thread_count = 1;
  std::vector<Result<std::vector<float>>> logits(kRuns);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kRuns; ++i) {
    trials.ChoosePath(i);
    trials.options.pool_bytes.reset();
    GS_ASSIGN(const uint64_t smallest, trials.SmallestPool());
    trials.options.pool_bytes = 2 * smallest;
    threads.emplace_back([&logits, i, mine = trials] { logits[i] = mine.Run(); });
  }
  for (std::thread& thread : threads) thread.join();
  Outcome outcome;
  for (const auto& one : logits) trials.CountClean(one, "one of several runs at once", outcome);
  JudgeDetection(outcome);
  outcome.happened = fmt::format("{} of {} runs at once on one core give the same logits",
                                 outcome.clean - outcome.false_alarms, outcome.clean);
  return outcome;
}

}  // namespace

void AddRunChaosChecks(std::vector<Check>& checks) {
  struct Trial {
    const char* name;
    const char* promise;
    Result<Outcome> (*run)(ValidationContext& context, RunPlace place);
  };
  const Trial trials[] = {
      {"damaged_pages",
       "a run that meets a damaged page ends with an error that names it; it never computes with "
       "it",
       CheckDamagedPages},
      {"read_errors", "a read of pages that fails once is repeated; one that always fails is named",
       CheckReadErrors},
      {"hesitant_disk", "short, interrupted and slow reads change nothing", CheckHesitantDisk},
      {"minimum_budget", "the smallest budget works, less is refused with what would do",
       CheckMinimum},
      {"thrash", "tiny pools give the same logits", CheckThrash},
      {"side_by_side", "many runs at once on one core do not disturb each other", CheckSideBySide},
  };
  for (const RunPlace place : {RunPlace::kProcessor, RunPlace::kDevice}) {
    for (const Trial& trial : trials) {
      std::string promise = trial.promise;
      if (place == RunPlace::kDevice) promise += " (on the Vulkan device)";
      checks.push_back({NameOf(place, trial.name), CheckGroup::kChaos, std::move(promise),
                        [run = trial.run, place](ValidationContext& context) -> Result<Outcome> {
                          GS_ASSIGN(Outcome outcome, run(context, place));
                          NoteFewRuns(context, outcome);
                          return outcome;
                        }});
    }
  }
}

}  // namespace gguf_shard
