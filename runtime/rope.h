// Rotary position embedding: pairs of values of a head turned by an angle that grows with the
// position, slower from pair to pair. Angles are computed in double precision.
//
// Immutable after Create; thread-safe.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/matmul.h"
#include "runtime/architecture.h"
#include "runtime/hyperparameters.h"

namespace gguf_shard {

class Rope {
 public:
  // `factors`: empty, or one divisor for each pair (Llama 3's rope_freqs).
  Rope(const RopeParameters& parameters, RopeOrder order, std::span<const float> factors);

  uint32_t pair_count() const { return static_cast<uint32_t>(frequencies_.size()); }

  // The turns of one position: pair_count() x (cosine, sine).
  void Turns(uint32_t position, std::span<float> cosine_sine) const;
  // Turns one head's vector in place.
  void Rotate(KernelIsa isa, std::span<const float> cosine_sine, float* head) const;

 private:
  RopeOrder order_;
  double magnitude_ = 1;             // YaRN lengthens the vectors
  std::vector<double> frequencies_;  // radians per position, by pair
};

}  // namespace gguf_shard
