#include "runtime/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace gguf_shard {
namespace {

Result<AtlasOptions> MakeAtlasOptions(const Model& model, const EngineOptions& options,
                                      uint32_t worker_count) {
  AtlasOptions atlas;
  if (options.cache_policy) {
    atlas.cache_policy = *options.cache_policy;
  } else {
    auto named = CachePolicyFromName(model.map().atlas.cache_policy);
    if (!named) return Fail(std::move(named.error()).File(model.core().map_path().string()));
    atlas.cache_policy = *named;
  }
  atlas.io_method = options.io_method;
  atlas.prefetch_distance = options.prefetch_distance.value_or(model.map().atlas.prefetch_distance);
  atlas.io_threads = kIoThreads;
  atlas.concurrent_pins = worker_count;
  return atlas;
}

std::vector<uint32_t> HostScheduleOf(const Model& model, const EngineOptions& options) {
  const Weights& weights = model.weights();
  if (!options.host_layers) return ScheduleOf(weights);
  return HostScheduleOf(weights, *options.host_layers, true);
}

// What is left to the host, with the shape of a batch that the device has
// settled.
EngineOptions HostOptions(const EngineOptions& options, const DeviceEngine& device) {
  EngineOptions host = options;
  const DevicePlan& plan = device.plan();
  host.host_layers = plan.shape.first_layer;
  host.context_length = plan.shape.context_length;
  host.batch_tokens = plan.shape.batch_tokens;
  host.other_bytes += DriverComingBytes(device.device());
  if (device.unified_memory()) host.other_bytes += plan.total_bytes();
  return host;
}

// A trace is of the host's pages: it keeps the model there.
Result<std::optional<uint32_t>> ChooseDeviceOf(const EngineOptions& options) {
  if (options.trace_path.empty()) return ChooseDevice(options.device);
  if (options.device.choice != DeviceChoice::kVulkan) return std::nullopt;
  return Fail(ErrorCode::kInvalidArgument,
              "a trace records what the processor uses: --trace goes with --device cpu");
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
  GS_ASSIGN(const std::optional<uint32_t> device_index, ChooseDeviceOf(options));
  if (!device_index) return OpenOnHost(std::move(model), options, nullptr);
  GS_ASSIGN(auto device, DeviceEngine::Open(*model, options, *device_index));
  if (device->has_all_layers()) {
    return OpenOnDevice(std::move(model), options, std::move(device));
  }
  const EngineOptions host_options = HostOptions(options, *device);
  return OpenOnHost(std::move(model), host_options, std::move(device));
}

Result<std::unique_ptr<Engine>> Engine::OpenOnHost(std::unique_ptr<const Model> model,
                                                   const EngineOptions& options,
                                                   std::unique_ptr<DeviceEngine> device) {
  GS_ASSIGN(const AtlasOptions atlas_options,
            MakeAtlasOptions(*model, options, WorkerCountOf(options)));
  const std::vector<uint32_t> schedule = HostScheduleOf(*model, options);
  const uint64_t minimum_pool_bytes =
      Atlas::MinimumPoolBytes(model->map(), schedule, atlas_options);
  GS_ASSIGN(const ProcessMemory process, ReadProcessMemory());
  uint64_t available_bytes = 0;
  if (!options.memory_budget_bytes) {
    GS_ASSIGN(available_bytes, AvailableMemoryBytes());
  }
  GS_ASSIGN(const MemoryPlan plan,
            PlanMemory(*model, options, process, available_bytes, minimum_pool_bytes));
  if (device) GS_TRY(device->OpenAtlas(0));
  std::unique_ptr<Engine> engine(new Engine(std::move(model), plan));
  engine->device_ = std::move(device);
  GS_TRY(engine->OpenResources(options));
  return engine;
}

Result<std::unique_ptr<Engine>> Engine::OpenOnDevice(std::unique_ptr<const Model> model,
                                                     const EngineOptions& options,
                                                     std::unique_ptr<DeviceEngine> device) {
  GS_ASSIGN(const ProcessMemory process, ReadProcessMemory());
  GS_ASSIGN(const uint64_t available_bytes, AvailableMemoryBytes());
  GS_ASSIGN(const MemoryPlan plan, PlanHostOfDevice(*model, options, process, available_bytes,
                                                    device->plan(), device->device()));
  GS_TRY(device->OpenAtlas(plan.pool_bytes));
  std::unique_ptr<Engine> engine(new Engine(std::move(model), plan));
  engine->device_ = std::move(device);
  return engine;
}

Result<void> Engine::OpenResources(const EngineOptions& options) {
  host_numbers_ = model_->hyperparameters();
  host_numbers_.layer_count = options.host_layers.value_or(host_numbers_.layer_count);
  const WorkspaceShape& shape = plan_.shape;
  GS_ASSIGN(AtlasOptions atlas_options, MakeAtlasOptions(*model_, options, shape.worker_count));
  atlas_options.pool_bytes = plan_.pool_bytes;
  GS_ASSIGN(workers_, WorkerPool::Create(shape.worker_count));
  GS_ASSIGN(cache_, KvCache::Create(host_numbers_, options.kv_type, shape.context_length));
  GS_ASSIGN(workspace_, Workspace::Create(host_numbers_, shape));
  source_ = MakeCorePageSource(model_->core());
  GS_ASSIGN(atlas_,
            Atlas::Open(model_->map(), *source_, HostScheduleOf(*model_, options), atlas_options));
  if (!options.trace_path.empty()) {
    GS_ASSIGN(trace_, TraceWriter::Create(options.trace_path, model_->map(),
                                          ScheduleOf(model_->weights())));
  }
  const PassResources resources = {
      .map = model_->map(),
      .numbers = host_numbers_,
      .weights = model_->weights(),
      .rope = model_->rope(),
      .atlas = *atlas_,
      .workers = *workers_,
      .cache = cache_,
      .workspace = workspace_,
      .isa = DetectKernelIsa(),
      .trace = trace_ ? &*trace_ : nullptr,
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
    GS_TRY(RunBatch(batch, position));
    ++passes_;
    evaluated_tokens_ += count;
    done += count;
    if (sink != nullptr) {
      GS_TRY(EmitLogits(position, count, *sink));
    } else if (done == tokens.size()) {
      GS_TRY(ComputeLogits(count - 1, 1));
      GS_TRY(CheckFinite(LogitsRow(0)));
    }
    position += count;
  }
  position_ = position;
  return {};
}

Result<void> Engine::RunBatch(std::span<const TokenId> tokens, uint32_t first_position) {
  if (device_ && device_->has_all_layers()) return device_->pass().Run(tokens, first_position);
  GS_TRY(pass_->Run(tokens, first_position));
  if (!device_) return {};
  const size_t values = tokens.size() * host_numbers_.embedding_length;
  return device_->pass().RunHidden(workspace_.hidden.first(values),
                                   static_cast<uint32_t>(tokens.size()), first_position);
}

Result<void> Engine::ComputeLogits(uint32_t first_token, uint32_t count) {
  if (device_ && device_->has_all_layers()) {
    GS_ASSIGN(logits_, device_->pass().ComputeLogits(first_token, count));
    return {};
  }
  GS_TRY(pass_->ComputeLogits(first_token, count));
  logits_ = workspace_.logits;
  return {};
}

Result<void> Engine::EmitLogits(uint32_t first_position, uint32_t token_count,
                                const LogitsSink& sink) {
  for (uint32_t done = 0; done < token_count;) {
    const uint32_t rows = std::min(token_count - done, plan_.shape.logit_rows);
    GS_TRY(ComputeLogits(done, rows));
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
  return logits_.subspan(row * vocab_size, vocab_size);
}

Result<void> Engine::FinishTrace() {
  if (!trace_) return {};
  return trace_->Finish();
}

Result<EngineStats> Engine::Stats() const {
  EngineStats stats;
  if (device_) stats.device = device_->Stats();
  stats.atlas = atlas_ ? atlas_->Stats() : stats.device->atlas.pages;
  GS_ASSIGN(stats.process, ReadProcessMemory());
  stats.evaluated_tokens = evaluated_tokens_;
  stats.passes = passes_;
  return stats;
}

}  // namespace gguf_shard
