#include "runtime/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace gguf_shard {
namespace {

AtlasOptions MakeAtlasOptions(const Model& model, const EngineOptions& options,
                              uint32_t worker_count) {
  AtlasOptions atlas;
  atlas.prefetch_distance = options.prefetch_distance.value_or(model.map().atlas.prefetch_distance);
  atlas.io_threads = kIoThreads;
  atlas.concurrent_pins = worker_count;
  return atlas;
}

// Weights that make no sense end here, not in a sampler.
Result<void> CheckFinite(std::span<const float> logits) {
  const bool finite =
      std::all_of(logits.begin(), logits.end(), [](float logit) { return std::isfinite(logit); });
  if (finite) return {};
  return Fail(ErrorCode::kMalformed, "the model's weights lead to values that are not numbers");
}

}  // namespace

Engine::Engine(std::unique_ptr<const Model> model, MemoryPlan plan)
    : model_(std::move(model)), plan_(plan) {}

Engine::~Engine() = default;

Result<std::unique_ptr<Engine>> Engine::Open(std::unique_ptr<const Model> model,
                                             const EngineOptions& options) {
  KeepHeapSmall();
  const AtlasOptions atlas_options = MakeAtlasOptions(*model, options, WorkerCountOf(options));
  const std::vector<uint32_t> schedule = ScheduleOf(model->weights());
  const uint64_t minimum_pool_bytes =
      Atlas::MinimumPoolBytes(model->map(), schedule, atlas_options);
  GS_ASSIGN(const ProcessMemory process, ReadProcessMemory());
  uint64_t available_bytes = 0;
  if (!options.memory_budget_bytes) {
    GS_ASSIGN(available_bytes, AvailableMemoryBytes());
  }
  GS_ASSIGN(const MemoryPlan plan,
            PlanMemory(*model, options, process, available_bytes, minimum_pool_bytes));
  std::unique_ptr<Engine> engine(new Engine(std::move(model), plan));
  GS_TRY(engine->OpenResources(options));
  return engine;
}

Result<void> Engine::OpenResources(const EngineOptions& options) {
  const Hyperparameters& numbers = model_->hyperparameters();
  const WorkspaceShape& shape = plan_.shape;
  AtlasOptions atlas_options = MakeAtlasOptions(*model_, options, shape.worker_count);
  atlas_options.pool_bytes = plan_.pool_bytes;
  GS_ASSIGN(workers_, WorkerPool::Create(shape.worker_count));
  GS_ASSIGN(cache_, KvCache::Create(numbers, options.kv_type, shape.context_length));
  GS_ASSIGN(workspace_, Workspace::Create(numbers, shape));
  source_ = MakeCorePageSource(model_->core());
  GS_ASSIGN(atlas_,
            Atlas::Open(model_->map(), *source_, ScheduleOf(model_->weights()), atlas_options));
  const PassResources resources = {
      .map = model_->map(),
      .numbers = numbers,
      .weights = model_->weights(),
      .rope = model_->rope(),
      .atlas = *atlas_,
      .workers = *workers_,
      .cache = cache_,
      .workspace = workspace_,
      .isa = DetectKernelIsa(),
  };
  pass_ = std::make_unique<ForwardPass>(resources);
  return {};
}

Result<void> Engine::CheckTokens(std::span<const TokenId> tokens) const {
  if (tokens.empty()) return Fail(ErrorCode::kInvalidArgument, "there are no tokens to evaluate");
  if (tokens.size() > context_length() - position_) {
    return Fail(Error(ErrorCode::kTooLarge, "the tokens do not fit the context (--ctx)")
                    .Expected(fmt::format("at most {}", context_length()))
                    .Found(position_ + tokens.size()));
  }
  const auto vocab_size = static_cast<TokenId>(model_->weights().vocab_size());
  for (const TokenId token : tokens) {
    if (token >= 0 && token < vocab_size) continue;
    return Fail(Error(ErrorCode::kInvalidArgument, "a token id is outside the vocabulary")
                    .Expected(fmt::format("0 to {}", vocab_size - 1))
                    .Found(fmt::format("{}", token)));
  }
  return {};
}

Result<std::span<float>> Engine::Evaluate(std::span<const TokenId> tokens) {
  GS_TRY(EvaluateBatches(tokens, nullptr));
  return LogitsRow(0);
}

Result<void> Engine::EvaluateAll(std::span<const TokenId> tokens, const LogitsSink& sink) {
  return EvaluateBatches(tokens, &sink);
}

Result<void> Engine::EvaluateBatches(std::span<const TokenId> tokens, const LogitsSink* sink) {
  GS_TRY(CheckTokens(tokens));
  uint32_t position = position_;
  for (size_t done = 0; done < tokens.size();) {
    const auto batch =
        tokens.subspan(done, std::min<size_t>(tokens.size() - done, plan_.shape.batch_tokens));
    const auto count = static_cast<uint32_t>(batch.size());
    GS_TRY(pass_->Run(batch, position));
    ++passes_;
    evaluated_tokens_ += count;
    done += count;
    if (sink != nullptr) {
      GS_TRY(EmitLogits(position, count, *sink));
    } else if (done == tokens.size()) {
      GS_TRY(pass_->ComputeLogits(count - 1, 1));
      GS_TRY(CheckFinite(LogitsRow(0)));
    }
    position += count;
  }
  position_ = position;
  return {};
}

Result<void> Engine::EmitLogits(uint32_t first_position, uint32_t token_count,
                                const LogitsSink& sink) {
  for (uint32_t done = 0; done < token_count;) {
    const uint32_t rows = std::min(token_count - done, plan_.shape.logit_rows);
    GS_TRY(pass_->ComputeLogits(done, rows));
    for (uint32_t row = 0; row < rows; ++row) {
      GS_TRY(CheckFinite(LogitsRow(row)));
      GS_TRY(sink(first_position + done + row, LogitsRow(row)));
    }
    done += rows;
  }
  return {};
}

std::span<float> Engine::LogitsRow(uint32_t row) const {
  const size_t vocab_size = plan_.shape.vocab_size;
  return workspace_.logits.subspan(row * vocab_size, vocab_size);
}

Result<EngineStats> Engine::Stats() const {
  EngineStats stats;
  stats.atlas = atlas_->Stats();
  GS_ASSIGN(stats.process, ReadProcessMemory());
  stats.evaluated_tokens = evaluated_tokens_;
  stats.passes = passes_;
  return stats;
}

}  // namespace gguf_shard
