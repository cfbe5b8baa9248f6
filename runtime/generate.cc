#include "runtime/generate.h"

#include <algorithm>
#include <chrono>

#include "core/cancel.h"
#include "core/clock.h"

namespace gguf_shard {
namespace {

using Clock = std::chrono::steady_clock;

Result<uint64_t> BytesRead(const Engine& engine) {
  GS_ASSIGN(const EngineStats stats, engine.Stats());
  return stats.atlas.bytes_read;
}

class Generator {
 public:
  Generator(Engine& engine, const GenerateOptions& options, const TokenSink& sink)
      : engine_(engine), options_(options), sink_(sink), sampler_(options.sampling) {}

  Result<Generation> Run(std::span<const TokenId> prompt) {
    generation_.prompt_tokens = static_cast<uint32_t>(prompt.size());
    history_.reserve(engine_.context_length() + 1);
    history_.assign(prompt.begin(), prompt.end());
    const Result<void> outcome = Loop(prompt);
    if (!outcome && outcome.error().code() != ErrorCode::kCancelled) {
      return Fail(outcome.error());
    }
    if (!outcome) generation_.stop_reason = StopReason::kCancelled;
    if (!generation_.tokens.empty()) {
      generation_.generation_seconds = SecondsSince(start_) - generation_.first_token_seconds;
      GS_ASSIGN(const uint64_t bytes_read, BytesRead(engine_));
      generation_.generation_bytes_read = bytes_read - bytes_before_generation_;
    }
    return std::move(generation_);
  }

 private:
  Result<void> Loop(std::span<const TokenId> prompt) {
    GS_ASSIGN(std::span<float> logits, engine_.Evaluate(prompt));
    GS_ASSIGN(bytes_before_generation_, BytesRead(engine_));
    while (true) {
      const TokenId token = sampler_.Sample(logits, history_);
      if (generation_.first_token_seconds == 0) {
        generation_.first_token_seconds = SecondsSince(start_);
      }
      if (engine_.model().tokenizer().IsEndOfGeneration(token)) {
        return Stop(StopReason::kEndOfText);
      }
      history_.push_back(token);
      generation_.tokens.push_back(token);
      GS_TRY(sink_(token));
      if (generation_.tokens.size() == options_.max_tokens) return Stop(StopReason::kTokenLimit);
      if (engine_.position() == engine_.context_length()) return Stop(StopReason::kContextFull);
      GS_TRY(CheckCancelled());
      GS_ASSIGN(logits, engine_.Evaluate({&history_.back(), 1}));
      ++generation_.generation_passes;
    }
  }

  Result<void> Stop(StopReason reason) {
    generation_.stop_reason = reason;
    return {};
  }

  Engine& engine_;
  const GenerateOptions& options_;
  const TokenSink& sink_;
  Sampler sampler_;
  Clock::time_point start_ = Clock::now();
  std::vector<TokenId> history_;
  uint64_t bytes_before_generation_ = 0;
  Generation generation_;
};

}  // namespace

std::string_view StopReasonName(StopReason reason) {
  switch (reason) {
    case StopReason::kEndOfText:
      return "end_of_text";
    case StopReason::kTokenLimit:
      return "token_limit";
    case StopReason::kContextFull:
      return "context_full";
    case StopReason::kCancelled:
      return "cancelled";
  }
  return "unknown";
}

double Generation::prompt_tokens_per_second() const {
  return first_token_seconds > 0 ? prompt_tokens / first_token_seconds : 0;
}

double Generation::generation_tokens_per_second() const {
  return generation_seconds > 0 ? static_cast<double>(generation_passes) / generation_seconds : 0;
}

Result<Generation> Generate(Engine& engine, std::span<const TokenId> prompt,
                            const GenerateOptions& options, const TokenSink& sink) {
  GS_TRY(CheckSamplingParams(options.sampling));
  return Generator(engine, options, sink).Run(prompt);
}

}  // namespace gguf_shard
