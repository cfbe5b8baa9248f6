// Small models with random weights, the same for the same description on every machine: what the
// tests run architectures with for which there is no trained model at hand. An independent engine
// has computed what they must give (tests/data/expected, tests/tools/README.md).
// Thread-safety: pure functions.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "core/error.h"

namespace gguf_shard {

struct SyntheticModel {
  std::string name;
  std::string architecture = "llama";
  uint64_t seed = 1;
  uint32_t width = 64;
  uint32_t layers = 2;
  uint32_t heads = 4;
  uint32_t heads_kv = 2;
  uint32_t head_length = 0;  // 0: width / heads, and no key says so
  uint32_t feed_forward = 96;
  uint32_t experts = 0;
  uint32_t experts_used = 0;
  uint32_t expert_feed_forward = 0;
  bool one_tensor_per_expert = false;  // the older form of the same weights
  float rope_base = 10000;
  std::string rope_scaling;  // empty: no key
  float rope_factor = 1;
  uint32_t original_context = 0;
  bool rope_factors = false;  // rope_freqs.weight
  bool projection_biases = false;
  bool output_bias = false;
  bool head_norms = false;
  bool tied = false;
};

// The models that tests/data/expected has expectations for.
std::span<const SyntheticModel> SyntheticModels();

// The whole GGUF: F32 weights, a vocabulary of bytes and letters.
std::vector<std::byte> BuildSyntheticGguf(const SyntheticModel& model);
Result<void> WriteSyntheticGguf(const SyntheticModel& model, const std::filesystem::path& path);

// The token ids that the expectations are about: reproducible, BOS first.
std::vector<int32_t> SyntheticTokens();

}  // namespace gguf_shard
