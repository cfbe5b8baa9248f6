// For as long as asked: engines with changing budgets over a disk that hesitates and now and then
// fails. The tokens never change, and nothing grows.
#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "core/cancel.h"
#include "core/clock.h"
#include "core/sanitizer.h"
#include "gpu/device.h"
#include "runtime/generate.h"
#include "runtime/process_memory.h"
#include "validate/check_list.h"
#include "validate/context.h"
#include "validate/fault_file_operations.h"

namespace gguf_shard {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint32_t kQuickSeconds = 1;
constexpr uint32_t kFullSeconds = 30;
constexpr uint32_t kTokens = 12;
constexpr uint32_t kFewTokens = 2;    // where each reads gigabytes
constexpr uint32_t kPromptBatch = 8;  // holds the whole prompt
constexpr uint32_t kMostThreads = 3;
// Rounds until caches of the allocator, the loader and the tokenizer have what they keep.
constexpr uint64_t kWarmRounds = 5;
constexpr uint64_t kFewWarmRounds = 2;
constexpr uint64_t kAllowedGrowthBytes = uint64_t{8} << 20;
constexpr uint64_t kAllowedDriverBytes = uint64_t{32} << 20;
// Sanitizers keep so much of what was freed; what is never freed they report themselves.
constexpr uint64_t kKeptBytes = uint64_t{kSanitizerManagesMemory ? 256 : 0} << 20;

// What may not grow from round to round.
struct Holdings {
  uint64_t resident_bytes = 0;
  uint64_t descriptors = 0;
};

Result<Holdings> Count() {
  malloc_trim(0);
  GS_ASSIGN(const ProcessMemory memory, ReadProcessMemory());
  std::error_code error;
  uint64_t descriptors = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", error)) {
    static_cast<void>(entry);
    ++descriptors;
  }
  return Holdings{memory.resident_bytes, descriptors};
}

class Soak {
 public:
  static Result<Soak> Create(ValidationContext& context) {
    GS_ASSIGN(const CoreFile* core, context.core());
    GS_ASSIGN(const auto model, Model::Load(context.options().map_path));
    EngineOptions hungriest = ProbeOptions();
    hungriest.thread_count = kMostThreads;
    GS_ASSIGN(const uint64_t smallest, MinimumPoolOf(*model, hungriest));
    GS_ASSIGN(auto prompt, context.PromptTokens());
    Soak soak(context, *core, smallest, std::max(smallest, model->weight_bytes()),
              std::move(prompt));
    GS_TRY(soak.operations_->SetTarget(core->file().path()));
    return soak;
  }

  Result<Outcome> Run(uint32_t seconds) {
    GS_ASSIGN(const auto expected, Generate(ProbeOptions()));
    const auto start = Clock::now();
    uint64_t shown_seconds = 0;
    context_.progress().StartSteps("run.soak", few_ ? warm_rounds_ + 2 : seconds);
    Holdings warm;
    Holdings last;
    for (uint64_t round = 0;; ++round) {
      GS_TRY(CheckCancelled());
      GS_TRY(Round(expected));
      GS_ASSIGN(last, Count());
      if (round <= warm_rounds_) {
        // The most that the first rounds leave: what comes later may not be more.
        warm.resident_bytes = std::max(warm.resident_bytes, last.resident_bytes);
        warm.descriptors = std::max(warm.descriptors, last.descriptors);
      }
      const double passed = SecondsSince(start);
      const auto whole_seconds = std::min<uint64_t>(seconds, static_cast<uint64_t>(passed));
      context_.progress().Advance(few_ ? 1 : whole_seconds - shown_seconds);
      shown_seconds = whole_seconds;
      if (round > warm_rounds_ && passed >= seconds) break;
    }
    return Judge(warm, last);
  }

 private:
  Soak(ValidationContext& context, const CoreFile& core, uint64_t smallest, uint64_t largest,
       std::vector<TokenId> prompt)
      : context_(context),
        core_(core),
        smallest_(smallest),
        largest_(largest),
        prompt_(std::move(prompt)),
        few_(context.core_is_large() && !context.options().full &&
             context.options().soak_seconds == 0),
        token_count_(few_ ? kFewTokens : kTokens),
        warm_rounds_(few_ ? kFewWarmRounds : kWarmRounds),
        random_(context.RandomOf("run.soak")),
        operations_(std::make_unique<FaultFileOperations>(context.options().seed)) {}

  Result<std::vector<TokenId>> Generate(EngineOptions options) {
    options.all_logits = false;
    GS_ASSIGN(auto model, Model::Load(context_.options().map_path));
    GS_ASSIGN(const auto engine, Engine::Open(std::move(model), options));
    GenerateOptions generate;
    generate.max_tokens = token_count_;
    generate.sampling.seed = context_.options().seed;
    GS_ASSIGN(const Generation generation,
              gguf_shard::Generate(*engine, prompt_, generate,
                                   [](TokenId) -> Result<void> { return {}; }));
    return generation.tokens;
  }

  EngineOptions ChooseOptions() {
    EngineOptions options = ProbeOptions();
    options.pool_bytes = smallest_ + random_() % (largest_ - smallest_ + 1);
    options.batch_tokens = (few_ ? kPromptBatch : 1) + static_cast<uint32_t>(random_() % 16);
    options.prefetch_distance = static_cast<uint32_t>(random_() % 12);
    options.thread_count = 1 + static_cast<uint32_t>(random_() % kMostThreads);
    options.io_method = context_.readers().Choose(random_());
    return options;
  }

  Result<void> Round(const std::vector<TokenId>& expected) {
    operations_->ClearReadFaults();
    operations_->ShortenReads(0.1);
    operations_->InterruptReads(0.1);
    operations_->DelayReads(0.02, std::chrono::microseconds(500));
    const auto& tensor = core_.map().tensors[random_() % core_.map().tensors.size()];
    if (tensor.layout.page_count > 0) {
      const uint64_t page = tensor.first_page + random_() % tensor.layout.page_count;
      operations_->FailReadsOf(core_.page_offset(page), 1);
    }
    const ScopedFileOperations scope(*operations_);
    const EngineOptions options = ChooseOptions();
    const auto tokens = Generate(options);
    ++outcome_.clean;
    if (tokens && *tokens == expected) return {};
    ++outcome_.false_alarms;
    Finding finding;
    finding.what =
        fmt::format("a pool of {} bytes, {} threads: {}", *options.pool_bytes, options.thread_count,
                    tokens ? "other tokens" : tokens.error().ToString());
    outcome_.findings.push_back(std::move(finding));
    return {};
  }

  Outcome Judge(const Holdings& warm, const Holdings& last) {
    JudgeDetection(outcome_);
    outcome_.happened = fmt::format(
        "the same {} tokens in {} of {} rounds {}, in spite of {} faults; resident memory {} KiB "
        "after the first rounds, {} at the end; {} descriptors, {} at the end",
        token_count_, outcome_.clean - outcome_.false_alarms, outcome_.clean,
        context_.readers().text, operations_->fault_count(), warm.resident_bytes >> 10,
        last.resident_bytes >> 10, warm.descriptors, last.descriptors);
    if (few_) {
      outcome_.sampled = fmt::format(
          "{} rounds of {} tokens: each token reads gigabytes; --soak SECONDS takes the time for "
          "more",
          outcome_.clean, token_count_);
    }
    const bool grew =
        last.resident_bytes > warm.resident_bytes + kAllowedGrowthBytes + kKeptBytes ||
        last.descriptors > warm.descriptors;
    if (grew) outcome_.status = CheckStatus::kBroken;
    outcome_.measurements = {
        {"rounds", static_cast<double>(outcome_.clean), "", 0, ""},
        {"resident after the first rounds", static_cast<double>(warm.resident_bytes >> 10), "KiB",
         0, ""},
        {"resident at the end", static_cast<double>(last.resident_bytes >> 10), "KiB", 0, ""}};
    return std::move(outcome_);
  }

  ValidationContext& context_;
  const CoreFile& core_;
  uint64_t smallest_;
  uint64_t largest_;
  std::vector<TokenId> prompt_;
  bool few_;  // tokens and rounds
  uint32_t token_count_;
  uint64_t warm_rounds_;
  std::mt19937_64 random_;
  std::unique_ptr<FaultFileOperations> operations_;
  Outcome outcome_;
};

Result<Outcome> CheckSoak(ValidationContext& context) {
  GS_ASSIGN(Soak soak, Soak::Create(context));
  const uint32_t by_mode = context.options().full ? kFullSeconds : kQuickSeconds;
  const uint32_t asked = context.options().soak_seconds;
  return soak.Run(asked > 0 ? asked : by_mode);
}

// What the driver says that this process has on the device, with no engine open; 0 where it cannot
// say.
Result<uint64_t> DeviceBytes(uint32_t index) {
  gpu::DeviceOptions options;
  options.index = static_cast<int32_t>(index);
  GS_ASSIGN(const auto device, gpu::Device::Open(options));
  return device->driver_reported_bytes();
}

// Engines on the device, one after the other: each gives back what it took.
Result<Outcome> CheckDeviceMemory(ValidationContext& context) {
  GS_ASSIGN(const DeviceReference* device, context.device_reference());
  GS_ASSIGN(const auto prompt, context.PromptTokens());
  const EngineOptions& options = device->options;
  Holdings warm;
  Holdings last;
  uint64_t warm_device_bytes = 0;
  uint64_t device_bytes = 0;
  const uint32_t rounds = context.options().full ? 20 : 4;
  context.progress().StartSteps("run.device_soak", rounds);
  for (uint32_t round = 0; round < rounds; ++round) {
    GS_TRY(CheckCancelled());
    context.progress().Advance(1);
    GS_TRY(ProbeLogits(context.options().map_path, options, prompt));
    GS_ASSIGN(device_bytes, DeviceBytes(device->index));
    GS_ASSIGN(last, Count());
    if (round > rounds / 2) continue;
    warm.resident_bytes = std::max(warm.resident_bytes, last.resident_bytes);
    warm.descriptors = std::max(warm.descriptors, last.descriptors);
    warm_device_bytes = std::max(warm_device_bytes, device_bytes);
  }
  Outcome outcome = Passed(fmt::format(
      "{} engines, one after the other; device memory {} KiB in the first half, {} at the end; "
      "resident memory {} and {} KiB; descriptors {} and {}",
      rounds, warm_device_bytes >> 10, device_bytes >> 10, warm.resident_bytes >> 10,
      last.resident_bytes >> 10, warm.descriptors, last.descriptors));
  outcome.clean = rounds;
  const bool grew = device_bytes > warm_device_bytes + kAllowedGrowthBytes ||
                    last.resident_bytes > warm.resident_bytes + kAllowedDriverBytes + kKeptBytes ||
                    last.descriptors > warm.descriptors;
  if (grew) outcome.status = CheckStatus::kBroken;
  return outcome;
}

}  // namespace

void AddSoakChecks(std::vector<Check>& checks) {
  checks.push_back(
      {"run.soak", CheckGroup::kChaos,
       "changing budgets and a failing disk give the same tokens for as long as asked; "
       "memory and descriptors do not grow",
       CheckSoak});
  checks.push_back({"run.device_soak", CheckGroup::kChaos,
                    "engines on a device give back what they took", CheckDeviceMemory});
}

}  // namespace gguf_shard
