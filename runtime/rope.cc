#include "runtime/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/vector_ops.h"

namespace gguf_shard {
namespace {

// YaRN's ramp: the share of the unscaled frequency for each pair. Pairs that turn more than
// beta_fast times within the original context keep their frequency, those that turn less than
// beta_slow times are slowed by the whole factor.
class YarnRamp {
 public:
  explicit YarnRamp(const RopeParameters& rope) : mix_(rope.extrapolation_mix) {
    low_ = std::max(0.0, std::floor(PairOfTurns(rope, rope.beta_fast)));
    high_ = std::min(rope.dimensions - 1.0, std::ceil(PairOfTurns(rope, rope.beta_slow)));
  }
  double operator()(uint32_t pair) const {
    const double place = (pair - low_) / std::max(0.001, high_ - low_);
    return (1 - std::clamp(place, 0.0, 1.0)) * mix_;
  }

 private:
  // The (fractional) pair that turns `turns` times within the original context.
  static double PairOfTurns(const RopeParameters& rope, double turns) {
    const double wavelength = rope.original_context / (turns * 2 * std::numbers::pi);
    return rope.dimensions * std::log(wavelength) / (2 * std::log(rope.frequency_base));
  }

  double mix_;
  double low_;
  double high_;
};

}  // namespace

Rope::Rope(const RopeParameters& parameters, RopeOrder order, std::span<const float> factors)
    : order_(order), frequencies_(parameters.dimensions / 2) {
  const bool yarn = parameters.scaling == RopeScaling::kYarn;
  for (uint32_t pair = 0; pair < pair_count(); ++pair) {
    const double exponent = -2.0 * pair / parameters.dimensions;
    const double divisor = factors.empty() ? 1.0 : double{factors[pair]};
    const double unscaled = std::pow(parameters.frequency_base, exponent) / divisor;
    const double scaled = unscaled / parameters.factor;
    const double share = yarn ? YarnRamp(parameters)(pair) : 0;
    frequencies_[pair] = scaled * (1 - share) + unscaled * share;
  }
  if (yarn) {
    magnitude_ = parameters.attention_factor * (1 + 0.1 * std::log(parameters.factor));
  }
}

void Rope::Turns(uint32_t position, std::span<float> cosine_sine) const {
  for (uint32_t pair = 0; pair < pair_count(); ++pair) {
    const double angle = position * frequencies_[pair];
    cosine_sine[2 * pair] = static_cast<float>(std::cos(angle) * magnitude_);
    cosine_sine[2 * pair + 1] = static_cast<float>(std::sin(angle) * magnitude_);
  }
}

void Rope::Rotate(KernelIsa isa, std::span<const float> cosine_sine, float* head) const {
  if (order_ == RopeOrder::kAdjacent) {
    RotateAdjacent(isa, cosine_sine.data(), pair_count(), head);
  } else {
    RotateHalves(isa, cosine_sine.data(), pair_count(), head);
  }
}

}  // namespace gguf_shard
