// The generation loop: a prompt goes in, tokens come out one by one, until the text ends, enough
// tokens are there, the context is full, or the user interrupts.
// For one thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "runtime/engine.h"
#include "runtime/sampler.h"

namespace gguf_shard {

enum class StopReason : uint8_t { kEndOfText, kTokenLimit, kContextFull, kCancelled };
std::string_view StopReasonName(StopReason reason);  // "end_of_text", "token_limit", ...

struct GenerateOptions {
  uint32_t max_tokens = 0;  // 0: until the text ends or the context is full
  SamplingParams sampling;
};

struct Generation {
  std::vector<TokenId> tokens;  // without the one that ended the text
  StopReason stop_reason = StopReason::kTokenLimit;
  uint32_t prompt_tokens = 0;
  double first_token_seconds = 0;  // from the call to the first token
  double generation_seconds = 0;   // from the first token to the last
  // Bytes read for the passes after the prompt's, and how many those were.
  uint64_t generation_bytes_read = 0;
  uint64_t generation_passes = 0;

  double prompt_tokens_per_second() const;
  double generation_tokens_per_second() const;
};

// Receives each token as it is chosen.
using TokenSink = std::function<Result<void>(TokenId token)>;

// Continues the engine's sequence with `prompt`. An interruption (core/cancel.h) is not an error
// here: what was generated is returned.
Result<Generation> Generate(Engine& engine, std::span<const TokenId> prompt,
                            const GenerateOptions& options, const TokenSink& sink);

}  // namespace gguf_shard
