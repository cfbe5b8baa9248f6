#include "runtime/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "atlas/pool_warmer.h"
#include "core/bytes.h"
#include "runtime/embedding.h"
#include "runtime/kv_cache.h"
#include "runtime/plan_shares.h"

namespace gguf_shard {
namespace {

// What a thread touches of its stack and of the allocator.
constexpr uint64_t kThreadBytes = 128 * 1024;
// What it only touches of its stack.
constexpr uint64_t kWarmerBytes = 32 * 1024;
// By so much the same process is larger one time than another.
constexpr uint64_t kVariationBytes = 512 * 1024;
// Run tables, page tables and schedules of the atlas, per page of the core.
constexpr uint64_t kTableBytesPerPage = 8;
// The sampler's candidates, per vocabulary entry.
constexpr uint64_t kSamplerBytesPerToken = 32;
// What cannot be counted: library buffers, page rounding, the system's own lag in counting.
constexpr uint64_t kSlackBytes = 4 * kMebibyte;

class Planner {
 public:
  Planner(const Model& model, const EngineOptions& options, const ProcessMemory& process,
          uint64_t available_bytes, uint64_t minimum_pool_bytes)
      : model_(model),
        options_(options),
        process_(process),
        available_bytes_(available_bytes),
        pool_floor_bytes_(options.pool_bytes.value_or(minimum_pool_bytes)),
        numbers_(model.hyperparameters()) {
    numbers_.layer_count = options.host_layers.value_or(numbers_.layer_count);
  }

  Result<MemoryPlan> Plan() {
    GS_TRY(CheckOptions());
    plan_.budget_bytes = options_.memory_budget_bytes.value_or(0);
    plan_.shape.worker_count = WorkerCountOf(options_);
    plan_.shape.vocab_size = model_.weights().vocab_size();
    GS_ASSIGN(plan_.shape.row_scratch_bytes, RowScratchBytes());
    plan_.process_bytes = process_.resident_bytes + ComingBytes(model_, options_);
    limit_bytes_ =
        options_.memory_budget_bytes.value_or(process_.resident_bytes + available_bytes_ / 10 * 9);
    GS_TRY(CheckSmallest());
    GS_TRY(ChooseContext());
    GS_TRY(ChooseBatch());
    return Finish();
  }

 private:
  Result<void> CheckOptions() const {
    const auto check = [](const char* what, uint64_t value, uint64_t limit) -> Result<void> {
      if (value <= limit) return {};
      return Fail(Error(ErrorCode::kInvalidArgument, fmt::format("the {} is too large", what))
                      .Expected(fmt::format("at most {}", limit))
                      .Found(value));
    };
    GS_TRY(check("context length", options_.context_length, kMaxContext));
    GS_TRY(check("batch", options_.batch_tokens, kMaxBatch));
    return check("number of threads", options_.thread_count, kMaxThreads);
  }

  Result<uint32_t> RowScratchBytes() const {
    const uint64_t bytes = Embedding::RowScratchBytes(model_.map(), model_.weights().embedding);
    if (bytes <= (uint64_t{1} << 31)) return static_cast<uint32_t>(bytes);
    return Fail(ErrorCode::kTooLarge, "a row of the token embedding is too long");
  }

  uint32_t SmallestContext() const {
    if (options_.context_length > 0) return options_.context_length;
    const uint32_t longest = model_.hyperparameters().context_length;
    return std::min(longest, std::max(kSmallContext, options_.needed_context));
  }

  Result<uint64_t> CacheBytes(uint32_t context) const {
    return KvCache::Bytes(numbers_, options_.kv_type, context);
  }

  uint32_t LogitRows(uint32_t batch) const {
    if (!options_.all_logits) return 1;
    const uint64_t row_bytes = uint64_t{plan_.shape.vocab_size} * sizeof(float);
    const uint64_t most_bytes = std::min(kMostLogitBytes, limit_bytes_ / kLogitShare);
    return static_cast<uint32_t>(std::clamp<uint64_t>(most_bytes / row_bytes, 1, batch));
  }

  uint64_t WorkspaceBytes(uint32_t batch, uint32_t context) const {
    WorkspaceShape shape = plan_.shape;
    shape.batch_tokens = batch;
    shape.context_length = context;
    shape.logit_rows = LogitRows(batch);
    return Workspace::Bytes(numbers_, shape);
  }

  // What a run with this batch and context takes at least.
  Result<uint64_t> NeededBytes(uint32_t batch, uint32_t context) const {
    GS_ASSIGN(const uint64_t cache_bytes, CacheBytes(context));
    const auto sum = CheckedAdd(
        cache_bytes, plan_.process_bytes + pool_floor_bytes_ + WorkspaceBytes(batch, context));
    if (!sum) return Fail(ErrorCode::kTooLarge, "the context is too long for any memory");
    return *sum;
  }

  uint32_t SmallestBatch() const { return std::max(1u, options_.batch_tokens); }

  Result<void> CheckSmallest() const {
    GS_ASSIGN(uint64_t smallest, NeededBytes(SmallestBatch(), SmallestContext()));
    smallest = std::max(smallest, process_.peak_resident_bytes + kMebibyte);
    if (limit_bytes_ >= smallest) return {};
    const uint64_t mebibytes = DivCeil(smallest + kVariationBytes, kMebibyte);
    const char* subject =
        options_.memory_budget_bytes ? "the memory budget" : "what memory this machine can spare";
    return Fail(Error(ErrorCode::kBudgetTooSmall,
                      fmt::format("{} cannot hold this model's minimum; the smallest that would do "
                                  "is --memory-budget {}M",
                                  subject, mebibytes))
                    .Expected(fmt::format("{} bytes", mebibytes * kMebibyte))
                    .Found(fmt::format("{} bytes", limit_bytes_)));
  }

  Result<void> ChooseContext() {
    const uint32_t smallest = SmallestContext();
    uint32_t context = smallest;
    if (options_.context_length == 0) {
      const uint32_t longest = model_.hyperparameters().context_length;
      context = std::max(smallest, std::min(longest, kDefaultContext));
    }
    while (context > smallest) {
      GS_ASSIGN(const uint64_t cache_bytes, CacheBytes(context));
      GS_ASSIGN(const uint64_t needed, NeededBytes(SmallestBatch(), context));
      if (cache_bytes <= limit_bytes_ / kCacheShare && needed <= limit_bytes_) break;
      context = std::max(smallest, context / 2);
    }
    plan_.shape.context_length = context;
    return {};
  }

  Result<void> ChooseBatch() {
    const uint32_t context = plan_.shape.context_length;
    uint32_t batch = options_.batch_tokens;
    if (batch == 0) {
      batch = std::min(kDefaultBatch, context);
      while (batch > 1) {
        GS_ASSIGN(const uint64_t needed, NeededBytes(batch, context));
        const bool modest = WorkspaceBytes(batch, context) <= limit_bytes_ / kWorkspaceShare;
        if (modest && needed <= limit_bytes_) break;
        batch /= 2;
      }
    }
    plan_.shape.batch_tokens = batch;
    plan_.shape.logit_rows = LogitRows(batch);
    return {};
  }

  Result<MemoryPlan> Finish() {
    const WorkspaceShape& shape = plan_.shape;
    GS_ASSIGN(plan_.cache_bytes, CacheBytes(shape.context_length));
    plan_.workspace_bytes = WorkspaceBytes(shape.batch_tokens, shape.context_length);
    const uint64_t taken = plan_.process_bytes + plan_.cache_bytes + plan_.workspace_bytes;
    const uint64_t rest = limit_bytes_ > taken ? limit_bytes_ - taken : 0;
    plan_.pool_bytes = options_.pool_bytes.value_or(
        std::max(pool_floor_bytes_, std::min(rest, model_.weight_bytes())));
    return plan_;
  }

  const Model& model_;
  const EngineOptions& options_;
  const ProcessMemory& process_;
  uint64_t available_bytes_;
  uint64_t pool_floor_bytes_;
  Hyperparameters numbers_;  // with the host's layers only
  uint64_t limit_bytes_ = 0;
  MemoryPlan plan_;
};

}  // namespace

uint32_t WorkerCountOf(const EngineOptions& options) {
  if (options.thread_count > 0) return std::min(options.thread_count, kMaxThreads);
  return std::clamp(std::thread::hardware_concurrency(), 1u, kMaxThreads);
}

uint64_t ComingBytes(const Model& model, const EngineOptions& options) {
  const uint64_t pages = model.weight_bytes() / kPageBytes;
  return (WorkerCountOf(options) + kIoThreads) * kThreadBytes +
         PoolWarmer::kMaxThreads * kWarmerBytes + pages * kTableBytesPerPage +
         uint64_t{model.weights().vocab_size()} * kSamplerBytesPerToken + kSlackBytes +
         options.other_bytes;
}

Result<MemoryPlan> PlanMemory(const Model& model, const EngineOptions& options,
                              const ProcessMemory& process, uint64_t available_bytes,
                              uint64_t minimum_pool_bytes) {
  return Planner(model, options, process, available_bytes, minimum_pool_bytes).Plan();
}

}  // namespace gguf_shard
