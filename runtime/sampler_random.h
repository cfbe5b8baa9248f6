// The random numbers of sampling: xoshiro256** (Blackman and Vigna, 2018), its state filled from a
// seed by splitmix64. Integer arithmetic only, so a seed gives the same numbers on every machine,
// which the standard library's distributions do not promise. For one thread.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace gguf_shard {

// One step of splitmix64; advances the state.
constexpr uint64_t SplitMix64(uint64_t& state) {
  uint64_t value = state += 0x9E3779B97F4A7C15;
  value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9;
  value = (value ^ value >> 27) * 0x94D049BB133111EB;
  return value ^ value >> 31;
}

class Xoshiro256 {
 public:
  constexpr explicit Xoshiro256(uint64_t seed) {
    for (uint64_t& word : state_) word = SplitMix64(seed);
  }
  constexpr explicit Xoshiro256(const std::array<uint64_t, 4>& state) : state_(state) {}

  constexpr uint64_t Next() {
    const uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }

  // In [0, 1): the upper 53 bits, exactly representable.
  constexpr double NextUnit() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }

 private:
  std::array<uint64_t, 4> state_;
};

}  // namespace gguf_shard
