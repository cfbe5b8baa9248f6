// The inference engine: a model, its paged weights, and one sequence of tokens.
//
//   GS_ASSIGN(auto model, Model::Load("model/core.sgmap"));
//   GS_ASSIGN(auto engine, Engine::Open(std::move(model), options));
//   GS_ASSIGN(auto logits, engine->Evaluate(prompt_ids));
//
// Logits are the same, bit for bit, whatever the pool, the number of threads and the batches.
// For one thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "atlas/atlas.h"
#include "atlas/trace.h"
#include "runtime/device_engine.h"
#include "runtime/forward_pass.h"
#include "runtime/memory_plan.h"
#include "runtime/model.h"

namespace gguf_shard {

struct EngineStats {
  AtlasStats atlas;                   // of the host's pool; the device's where it has all layers
  std::optional<DeviceStats> device;  // none when the CPU does everything
  ProcessMemory process;
  uint64_t evaluated_tokens = 0;
  uint64_t passes = 0;
};

class Engine {
 public:
  // Receives the logits after the token at `position`; they are valid during the call.
  using LogitsSink = std::function<Result<void>(uint32_t position, std::span<const float> logits)>;

  static Result<std::unique_ptr<Engine>> Open(std::unique_ptr<const Model> model,
                                              const EngineOptions& options);
  ~Engine();

  // Appends tokens to the sequence and returns the logits after the last one: the caller's to
  // change (a sampler does), valid until the next call. kTooLarge when the context would overflow.
  // After an error the sequence is as before.
  Result<std::span<float>> Evaluate(std::span<const TokenId> tokens);
  // The same, with the logits after every token.
  Result<void> EvaluateAll(std::span<const TokenId> tokens, const LogitsSink& sink);

  // Forgets the sequence.
  void Reset() { position_ = 0; }

  uint32_t position() const { return position_; }  // tokens in the sequence
  uint32_t context_length() const { return plan_.shape.context_length; }
  const Model& model() const { return *model_; }
  const MemoryPlan& plan() const { return plan_; }
  Result<EngineStats> Stats() const;
  // Ends the recording that options asked for and gives it its name; does nothing without one.
  Result<void> FinishTrace();
  // Where the pages come from, for people.
  std::string DescribeSource() const {
    return source_ ? source_->Describe() : device_->DescribeSource();
  }

 private:
  Engine(std::unique_ptr<const Model> model, MemoryPlan plan);

  static Result<std::unique_ptr<Engine>> OpenOnHost(std::unique_ptr<const Model> model,
                                                    const EngineOptions& options,
                                                    std::unique_ptr<DeviceEngine> device);
  static Result<std::unique_ptr<Engine>> OpenOnDevice(std::unique_ptr<const Model> model,
                                                      const EngineOptions& options,
                                                      std::unique_ptr<DeviceEngine> device);
  Result<void> OpenResources(const EngineOptions& options);
  Result<void> RunBatch(std::span<const TokenId> tokens, uint32_t first_position);
  Result<void> ComputeLogits(uint32_t first_token, uint32_t count);
  Result<void> CheckTokens(std::span<const TokenId> tokens) const;
  Result<void> EvaluateBatches(std::span<const TokenId> tokens, const LogitsSink* sink);
  Result<void> EmitLogits(uint32_t first_position, uint32_t token_count, const LogitsSink& sink);
  std::span<float> LogitsRow(uint32_t row) const;

  std::unique_ptr<const Model> model_;
  MemoryPlan plan_;
  // The last layers, where they are not the host's; with all of them nothing below is opened.
  std::unique_ptr<DeviceEngine> device_;
  Hyperparameters host_numbers_;  // with the host's layers only
  std::unique_ptr<PageSource> source_;
  std::unique_ptr<Atlas> atlas_;
  std::unique_ptr<WorkerPool> workers_;
  std::optional<TraceWriter> trace_;
  KvCache cache_;
  Workspace workspace_;
  std::unique_ptr<ForwardPass> pass_;
  std::span<float> logits_;  // of the last ComputeLogits
  uint32_t position_ = 0;
  uint64_t evaluated_tokens_ = 0;
  uint64_t passes_ = 0;
};

}  // namespace gguf_shard
