#include "runtime/sampler.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "core/check.h"

namespace gguf_shard {
namespace {

// 1/n! for the series of e^r with |r| <= ln 2 / 2: the first term left out is below 2^-57.
constexpr std::array<double, 14> kInverseFactorials = [] {
  std::array<double, 14> inverse{};
  double factorial = 1;
  for (size_t n = 0; n < inverse.size(); ++n) {
    if (n > 0) factorial *= static_cast<double>(n);
    inverse[n] = 1 / factorial;
  }
  return inverse;
}();

constexpr float kInfinity = std::numeric_limits<float>::infinity();

tl::unexpected<Error> OutOfRange(std::string_view name, std::string_view range, double value) {
  return Fail(Error(ErrorCode::kInvalidArgument, fmt::format("{} is out of range", name))
                  .Expected(std::string(range))
                  .Found(fmt::format("{}", value)));
}

// The highest of the logits, the first among equals; 0 when none is above minus infinity.
TokenId BestToken(std::span<const float> logits) {
  float best = -kInfinity;
  size_t best_index = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > best) {  // never true for NaN
      best = logits[i];
      best_index = i;
    }
  }
  return static_cast<TokenId>(best_index);
}

}  // namespace

double ExpOfNegative(double x) {
  constexpr double kLog2E = 1.4426950408889634;
  // ln 2 in two parts; the first has 21 low zero bits, so its product with an exponent is exact.
  constexpr double kLn2High = 0x1.62e42fee00000p-1;
  constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
  if (!(x < 0)) return 1;
  if (x < -700) return 0;
  const double exponent = std::floor(x * kLog2E + 0.5);
  const double r = (x - exponent * kLn2High) - exponent * kLn2Low;
  double sum = 0;
  for (size_t n = kInverseFactorials.size(); n-- > 0;) sum = sum * r + kInverseFactorials[n];
  return std::ldexp(sum, static_cast<int>(exponent));
}

Result<void> CheckSamplingParams(const SamplingParams& params) {
  if (!std::isfinite(params.temperature)) {
    return OutOfRange("temperature", "a finite number", params.temperature);
  }
  if (!(params.top_p > 0 && params.top_p <= 1)) {
    return OutOfRange("top-p", "above 0, at most 1", params.top_p);
  }
  if (!(params.min_p >= 0 && params.min_p <= 1)) {
    return OutOfRange("min-p", "0 to 1", params.min_p);
  }
  if (!std::isfinite(params.repetition_penalty) || params.repetition_penalty <= 0) {
    return OutOfRange("repetition penalty", "a number above 0", params.repetition_penalty);
  }
  return {};
}

Sampler::Sampler(const SamplingParams& params) : params_(params), random_(params.seed) {}

TokenId Sampler::Sample(std::span<float> logits, std::span<const TokenId> history) {
  GS_CHECK(!logits.empty());
  Penalize(logits, history);
  if (!(params_.temperature > 0)) return BestToken(logits);
  CollectCandidates(logits);
  if (candidates_.empty()) return 0;
  KeepTopK();
  KeepTopP();
  KeepMinP();
  return Draw();
}

bool Sampler::IsBetter(const Candidate& a, const Candidate& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

// Each recent token once, however often it occurred: a positive logit is divided by the penalty, a
// negative one multiplied, so both move down.
void Sampler::Penalize(std::span<float> logits, std::span<const TokenId> history) {
  const float penalty = params_.repetition_penalty;
  if (penalty == 1) return;
  const size_t count = std::min<size_t>(history.size(), params_.repetition_window);
  const auto window = history.last(count);
  recent_.assign(window.begin(), window.end());
  std::sort(recent_.begin(), recent_.end());
  recent_.erase(std::unique(recent_.begin(), recent_.end()), recent_.end());
  for (const TokenId id : recent_) {
    if (id < 0 || static_cast<size_t>(id) >= logits.size()) continue;
    float& logit = logits[id];
    logit = logit > 0 ? logit / penalty : logit * penalty;
  }
}

void Sampler::CollectCandidates(std::span<const float> logits) {
  candidates_.clear();
  candidates_.reserve(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!(logits[i] > -kInfinity)) continue;
    // An infinite logit is the largest finite one: differences stay numbers.
    const float logit = std::min(logits[i], std::numeric_limits<float>::max());
    candidates_.push_back({logit, static_cast<TokenId>(i), 0});
  }
}

void Sampler::KeepTopK() {
  const size_t count = params_.top_k;
  if (count == 0 || count >= candidates_.size()) return;
  std::partial_sort(candidates_.begin(), candidates_.begin() + static_cast<ptrdiff_t>(count),
                    candidates_.end(), IsBetter);
  candidates_.resize(count);
}

// Takes the best candidates one by one off a heap until their share reaches top-p: over a whole
// vocabulary that is much less work than sorting it.
void Sampler::KeepTopP() {
  if (params_.top_p >= 1) return;
  const double needed = Weigh(1) * params_.top_p;
  const auto is_worse = [](const Candidate& a, const Candidate& b) { return IsBetter(b, a); };
  std::make_heap(candidates_.begin(), candidates_.end(), is_worse);
  kept_.clear();
  double sum = 0;
  while (!candidates_.empty() && (kept_.empty() || sum < needed)) {
    std::pop_heap(candidates_.begin(), candidates_.end(), is_worse);
    kept_.push_back(candidates_.back());
    sum += kept_.back().weight;
    candidates_.pop_back();
  }
  candidates_.swap(kept_);
}

void Sampler::KeepMinP() {
  if (params_.min_p <= 0) return;
  Weigh(1);
  std::erase_if(candidates_, [&](const Candidate& c) { return c.weight < params_.min_p; });
}

double Sampler::Weigh(double temperature) {
  const double best =
      std::max_element(candidates_.begin(), candidates_.end(), [](const auto& a, const auto& b) {
        return a.logit < b.logit;
      })->logit;
  double sum = 0;
  for (Candidate& candidate : candidates_) {
    candidate.weight = ExpOfNegative((candidate.logit - best) / temperature);
    sum += candidate.weight;
  }
  return sum;
}

TokenId Sampler::Draw() {
  const double target = random_.NextUnit() * Weigh(params_.temperature);
  double sum = 0;
  for (const Candidate& candidate : candidates_) {
    sum += candidate.weight;
    if (target < sum) return candidate.id;
  }
  return candidates_.back().id;  // the product was rounded up to the sum
}

}  // namespace gguf_shard
