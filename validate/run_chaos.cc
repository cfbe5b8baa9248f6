// A model runs while its disk misbehaves or memory is short: right logits or a clear error, never
// wrong logits.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "atlas/page_pool.h"
#include "core/cancel.h"
#include "runtime/weights.h"
#include "validate/check_list.h"
#include "validate/context.h"
#include "validate/page_damage.h"

namespace gguf_shard {
namespace {

// How many failed reads of a page change nothing: the file layer tries three times, and what was
// read with others is then read by itself. What lies near the header is read with that, too, where
// there is no second round.
uint64_t SurvivedFailures(const CoreFile& core, uint64_t page) {
  constexpr uint64_t kReadAheadBytes = uint64_t{64} << 10;
  return core.page_offset(page) < 2 * core.page_offset(0) + kReadAheadBytes ? 2 : 5;
}

// Everything that the trials of one check share.
struct Trials {
  ValidationContext& context;
  const CoreFile& core;
  std::vector<TokenId> tokens;
  const std::vector<float>& expected;
  EngineOptions options;

  static Result<Trials> Create(ValidationContext& context) {
    GS_ASSIGN(const CoreFile* core, context.core());
    GS_ASSIGN(auto tokens, context.PromptTokens());
    GS_ASSIGN(const std::vector<float>* expected, context.reference_logits());
    return Trials{context, *core, std::move(tokens), *expected, ProbeOptions()};
  }

  // The next way of reading.
  void ChooseReader(uint64_t number) { options.io_method = context.readers().Choose(number); }

  Result<std::vector<float>> Run(FaultFileOperations& operations) const {
    const ScopedFileOperations scope(operations);
    return ProbeLogits(context.options().map_path, options, tokens);
  }
  Result<std::vector<float>> Run() const {
    return ProbeLogits(context.options().map_path, options, tokens);
  }
  // Fewer where every run reads gigabytes.
  uint64_t Count(uint64_t share) const {
    const uint64_t count =
        std::max<uint64_t>(context.readers().methods.size(), context.FaultsOf(share));
    if (!context.core_is_large()) return count;
    return std::min<uint64_t>(count, context.options().full ? 12 : 2);
  }
};

std::string Say(const Result<std::vector<float>>& logits) {
  return logits ? "other logits" : logits.error().ToString();
}

Finding PageFinding(const CoreFile& core, uint64_t page, std::string what) {
  Finding finding;
  finding.what = std::move(what);
  finding.owner = core.PageOwner(page);
  finding.pages = {page, 1};
  return finding;
}

// A fault that the run must name, or not have needed the page.
void CountNamed(const Trials& trials, uint64_t page, ErrorCode code,
                const Result<std::vector<float>>& logits, std::string_view fault,
                Outcome& outcome) {
  ++outcome.injected;
  const bool named = !logits && logits.error().code() == code &&
                     (!logits.error().page_index() || *logits.error().page_index() == page);
  outcome.detected += named ? 1 : 0;
  const bool same = logits && *logits == trials.expected;
  outcome.harmless += same ? 1 : 0;
  if (named || same) return;
  outcome.findings.push_back(
      PageFinding(trials.core, page, fmt::format("{}: {}", fault, Say(logits))));
}

void CountClean(const Trials& trials, const Result<std::vector<float>>& logits,
                std::string_view fault, Outcome& outcome) {
  ++outcome.clean;
  if (logits && *logits == trials.expected) return;
  ++outcome.false_alarms;
  Finding finding;
  finding.what = fmt::format("{}: {}", fault, Say(logits));
  outcome.findings.push_back(std::move(finding));
}

void JudgeByReaders(const Trials& trials, const FaultFileOperations& operations, Outcome& outcome) {
  JudgeDetection(outcome);
  const auto& readers = trials.context.readers();
  outcome.happened += fmt::format("; pages read {}", readers.text);
  // Faults that one of the readers never met would prove nothing about it; a few may all have hit
  // what is read when a core is opened.
  constexpr uint64_t kEnoughFaults = 10;
  const bool enough = readers.methods.size() > 1 && outcome.injected >= kEnoughFaults;
  if (!enough || operations.uring_fault_count() > 0) return;
  outcome.status = CheckStatus::kBroken;
  outcome.happened += ", but no read by io_uring met a fault";
}

// Of a pair that changed places, one at a time is a duplicate.
Result<Outcome> CheckDamagedPages(ValidationContext& context) {
  GS_ASSIGN(Trials trials, Trials::Create(context));
  auto random = context.RandomOf("run.damaged_pages");
  FaultFileOperations operations(context.options().seed);
  GS_TRY(operations.SetTarget(trials.core.file().path()));
  GS_ASSIGN(const PagePool pool, PagePool::Allocate(2));
  Outcome outcome;
  const uint64_t count = trials.Count(100);
  context.progress().StartSteps("run.damaged_pages", count);
  for (uint64_t i = 0; i < count; ++i) {
    GS_TRY(CheckCancelled());
    context.progress().Advance(1);
    const auto kind = kPageDamageKinds[i % kPageDamageKinds.size()];
    if (kind == PageDamageKind::kSwapped) continue;
    trials.ChooseReader(i);
    // Two neighbours: the second is what is written over the first.
    const PageRange window{random() % (trials.core.map().core.index.first_page - 1), 2};
    const std::span bytes(pool.slot(0), 2 * kPageBytes);
    GS_TRY(trials.core.ReadRaw(window.first_page, bytes));
    auto damaged = DamagePages(trials.core, window, bytes, kind, 2, random);
    if (damaged.empty()) continue;
    damaged.resize(1);
    const uint64_t page = damaged[0].page_index;
    Inject(trials.core, std::move(damaged), operations);
    CountNamed(trials, page, ErrorCode::kChecksumMismatch, trials.Run(operations),
               PageDamageName(kind), outcome);
    operations.ClearReadFaults();
    CountClean(trials, trials.Run(operations), "nothing wrong", outcome);
  }
  JudgeByReaders(trials, operations, outcome);
  return outcome;
}

// A page of a tensor: those are read by the atlas.
uint64_t TensorPage(const CoreFile& core, std::mt19937_64& random) {
  const auto& tensors = core.map().tensors;
  while (true) {
    const MapTensor& tensor = tensors[random() % tensors.size()];
    if (tensor.layout.page_count == 0) continue;
    return tensor.first_page + random() % tensor.layout.page_count;
  }
}

Result<Outcome> CheckReadErrors(ValidationContext& context) {
  GS_ASSIGN(Trials trials, Trials::Create(context));
  auto random = context.RandomOf("run.read_errors");
  FaultFileOperations operations(context.options().seed);
  GS_TRY(operations.SetTarget(trials.core.file().path()));
  Outcome outcome;
  const uint64_t count = trials.Count(200);
  context.progress().StartSteps("run.read_errors", count);
  for (uint64_t i = 0; i < count; ++i) {
    GS_TRY(CheckCancelled());
    context.progress().Advance(1);
    trials.ChooseReader(i);
    const uint64_t page = TensorPage(trials.core, random);
    const uint64_t times = 1 + random() % SurvivedFailures(trials.core, page);
    operations.FailReadsOf(trials.core.page_offset(page), times);
    CountClean(trials, trials.Run(operations), fmt::format("page {} failed {} times", page, times),
               outcome);
    operations.FailReadsOf(trials.core.page_offset(page), FaultFileOperations::kNever);
    CountNamed(trials, page, ErrorCode::kIo, trials.Run(operations), "read error", outcome);
    operations.ClearReadFaults();
  }
  JudgeByReaders(trials, operations, outcome);
  return outcome;
}

Result<Outcome> CheckHesitantDisk(ValidationContext& context) {
  GS_ASSIGN(Trials trials, Trials::Create(context));
  FaultFileOperations operations(context.options().seed);
  GS_TRY(operations.SetTarget(trials.core.file().path()));
  operations.ShortenReads(0.3);
  operations.InterruptReads(0.2);
  operations.DelayReads(0.1, std::chrono::microseconds(2000));
  Outcome outcome;
  const uint64_t count = trials.Count(500);
  context.progress().StartSteps("run.hesitant_disk", count);
  for (uint64_t i = 0; i < count; ++i) {
    GS_TRY(CheckCancelled());
    context.progress().Advance(1);
    trials.ChooseReader(i);
    CountClean(trials, trials.Run(operations), "short, interrupted, slow reads", outcome);
  }
  JudgeDetection(outcome);
  outcome.happened = fmt::format("the same logits in {} of {} runs {}, in spite of {} such reads",
                                 outcome.clean - outcome.false_alarms, outcome.clean,
                                 context.readers().text, operations.fault_count());
  return outcome;
}

Result<uint64_t> SmallestPool(ValidationContext& context) {
  GS_ASSIGN(const auto model, Model::Load(context.options().map_path));
  return MinimumPoolOf(*model, ProbeOptions());
}

// The smallest pool works; one page less is refused, with the smallest named; so is a tiny budget.
Result<Outcome> CheckMinimum(ValidationContext& context) {
  GS_ASSIGN(Trials trials, Trials::Create(context));
  GS_ASSIGN(const uint64_t smallest, SmallestPool(context));
  Outcome outcome;
  const auto refused = [&](const char* what) {
    const auto logits = trials.Run();
    ++outcome.injected;
    const bool named = !logits && logits.error().code() == ErrorCode::kBudgetTooSmall &&
                       !logits.error().expected().empty();
    if (named) ++outcome.detected;
    Finding finding;
    finding.what = fmt::format("{}: {}", what, Say(logits));
    if (!named) outcome.findings.push_back(std::move(finding));
  };
  trials.options.pool_bytes = smallest;
  CountClean(trials, trials.Run(), "the smallest pool", outcome);
  trials.options.pool_bytes = smallest - kPageBytes;
  refused("a page less than the smallest pool");
  trials.options.pool_bytes.reset();
  trials.options.memory_budget_bytes = uint64_t{1} << 20;
  refused("a budget of 1 MiB");
  JudgeDetection(outcome);
  outcome.happened = fmt::format(
      "the smallest pool, {} KiB, gives the same logits; {} of {} "
      "smaller budgets are refused with what would do",
      smallest >> 10, outcome.detected, outcome.injected);
  return outcome;
}

// Pools near the smallest, the sequence begun again and again.
Result<Outcome> CheckThrash(ValidationContext& context) {
  GS_ASSIGN(Trials trials, Trials::Create(context));
  GS_ASSIGN(const uint64_t smallest, SmallestPool(context));
  auto random = context.RandomOf("run.thrash");
  Outcome outcome;
  const uint64_t count = trials.Count(300);
  context.progress().StartSteps("run.thrash", count);
  for (uint64_t i = 0; i < count; ++i) {
    GS_TRY(CheckCancelled());
    context.progress().Advance(1);
    trials.ChooseReader(i);
    trials.options.pool_bytes = smallest + random() % 64 * kPageBytes;
    trials.options.batch_tokens = 1 + static_cast<uint32_t>(random() % 8);
    trials.options.prefetch_distance = static_cast<uint32_t>(random() % 12);
    CountClean(trials, trials.Run(),
               fmt::format("a pool of {} bytes, batches of {}", *trials.options.pool_bytes,
                           trials.options.batch_tokens),
               outcome);
  }
  JudgeDetection(outcome);
  outcome.happened = fmt::format("the same logits with {} of {} tiny pools",
                                 outcome.clean - outcome.false_alarms, outcome.clean);
  return outcome;
}

Result<Outcome> CheckSideBySide(ValidationContext& context) {
  constexpr size_t kRuns = 4;
  GS_ASSIGN(Trials trials, Trials::Create(context));
  GS_ASSIGN(const uint64_t smallest, SmallestPool(context));
  trials.options.pool_bytes = 2 * smallest;
  trials.options.thread_count = 1;
  std::vector<Result<std::vector<float>>> logits(kRuns);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kRuns; ++i) {
    trials.ChooseReader(i);
    threads.emplace_back([&logits, i, mine = trials] { logits[i] = mine.Run(); });
  }
  for (std::thread& thread : threads) thread.join();
  Outcome outcome;
  for (const auto& one : logits) CountClean(trials, one, "one of several runs at once", outcome);
  JudgeDetection(outcome);
  outcome.happened = fmt::format("{} of {} runs at once on one core give the same logits",
                                 outcome.clean - outcome.false_alarms, outcome.clean);
  return outcome;
}

}  // namespace

void AddRunChaosChecks(std::vector<Check>& checks) {
  const auto group = CheckGroup::kChaos;
  checks.push_back({"run.damaged_pages", group,
                    "a run that meets a damaged page ends with an error that names it; it never "
                    "computes with it",
                    CheckDamagedPages});
  checks.push_back({"run.read_errors", group,
                    "a read of pages that fails once is repeated; one that always fails is named",
                    CheckReadErrors});
  checks.push_back({"run.hesitant_disk", group, "short, interrupted and slow reads change nothing",
                    CheckHesitantDisk});
  checks.push_back({"run.minimum_budget", group,
                    "the smallest budget works, less is refused with what would do", CheckMinimum});
  checks.push_back({"run.thrash", group, "tiny pools give the same logits", CheckThrash});
  checks.push_back({"run.side_by_side", group,
                    "many runs at once on one core do not disturb each "
                    "other",
                    CheckSideBySide});
}

}  // namespace gguf_shard
