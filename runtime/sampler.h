// Chooses the next token from the model's logits.
//
// Order, as other engines have it: repetition penalty -> top-k -> top-p -> min-p -> temperature ->
// draw. Top-p and min-p see the probabilities at temperature 1. A temperature of 0 or less is
// greedy: the highest logit after the penalty, the lowest id among equals.
//
// Same logits, same history, same seed: same token, on every machine; probabilities come from basic
// arithmetic only, in one fixed order. NaN logits are never chosen; when no logit is a number above
// minus infinity the choice is token 0. For one thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/error.h"
#include "runtime/sampler_random.h"
#include "runtime/tokenizer.h"

namespace gguf_shard {

struct SamplingParams {
  float temperature = 0.8F;
  uint32_t top_k = 40;              // 0: all tokens
  float top_p = 0.95F;              // 1: all tokens
  float min_p = 0.05F;              // of the best token's probability; 0: all tokens
  float repetition_penalty = 1.0F;  // 1: none; above 1 makes recent tokens less likely
  uint32_t repetition_window = 64;  // how many of the last tokens count as recent
  uint64_t seed = 0;
};

// kInvalidArgument, with the parameter's name and range, when one is outside of it.
Result<void> CheckSamplingParams(const SamplingParams& params);

class Sampler {
 public:
  // `params` have passed CheckSamplingParams.
  explicit Sampler(const SamplingParams& params);

  // `logits`, one per token and not empty, are overwritten. `history`: the tokens so far, prompt
  // included, the latest last; ids outside the vocabulary are ignored.
  TokenId Sample(std::span<float> logits, std::span<const TokenId> history);

 private:
  struct Candidate {
    float logit;
    TokenId id;
    double weight;
  };

  // Higher logits first, lower ids among equals: a total order, so every selection is determined.
  static bool IsBetter(const Candidate& a, const Candidate& b);

  void Penalize(std::span<float> logits, std::span<const TokenId> history);
  void CollectCandidates(std::span<const float> logits);
  void KeepTopK();
  void KeepTopP();
  void KeepMinP();
  // Sets the candidates' weights to exp((logit - best) / temperature); returns their sum.
  double Weigh(double temperature);
  TokenId Draw();

  SamplingParams params_;
  Xoshiro256 random_;
  std::vector<Candidate> candidates_;
  std::vector<Candidate> kept_;
  std::vector<TokenId> recent_;
};

// e^x for x <= 0 (1 for more), to within 1e-15 of the value, from additions and multiplications
// only: the C library's differs between versions and processors in the last bit.
double ExpOfNegative(double x);

}  // namespace gguf_shard
