// What every engine is held to, be it on the CPU or on a Vulkan device: the models of the test data
// with their limits, and how far an engine is from a golden file.
// For one thread.
#pragma once

#include <cstddef>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "core/error.h"
#include "runtime/engine.h"
#include "tests/golden/golden_file.h"
#include "tests/tools/synthetic_model.h"

namespace gguf_shard {

struct GoldenModel {
  const char* name;
  double peer_error;   // mean |next_logprob - golden| of the peer, with its 8-bit activations
  double error_limit;  // ours: what was measured, and a margin
};

void PrintTo(const GoldenModel& model, std::ostream* out);
void PrintTo(const SyntheticModel& model, std::ostream* out);
// A test's name may have no dashes.
std::string TestNameOf(const GoldenModel& model);

inline constexpr GoldenModel kGoldenModels[] = {
    {"stories3M-f32", 1e-4, 1e-5},
    {"stories3M-IQ4_NL", 0.042, 4e-4},
    {"stories3M-Q4_0", 0.038, 4e-4},
    {"stories3M-Q4_K_M", 0.056, 4e-4},
    {"stories3M-Q8_0", 0.034, 4e-4},
    {"stories3M-qwen2-Q8_0", 0.035, 4e-4},
    {"stories3M-rot256-BF16", 0.008, 1e-5},
    {"stories3M-rot256-F16", 0.001, 1e-5},
    {"stories3M-rot256-IQ4_XS", 0.049, 4e-4},
    {"stories3M-rot256-Q2_K", 0.080, 4e-4},
    {"stories3M-rot256-Q3_K_M", 0.064, 4e-4},
    {"stories3M-rot256-Q4_0", 0.031, 4e-4},
    {"stories3M-rot256-Q4_1", 0.033, 4e-4},
    {"stories3M-rot256-Q4_K_M", 0.052, 4e-4},
    {"stories3M-rot256-Q5_0", 0.032, 4e-4},
    {"stories3M-rot256-Q5_1", 0.038, 4e-4},
    {"stories3M-rot256-Q5_K_M", 0.053, 4e-4},
    {"stories3M-rot256-Q6_K", 0.051, 4e-4},
    {"stories3M-rot256-Q8_0", 0.033, 4e-4},
    {"stories3M-rot256-moe8x2-copies-Q4_K_M", 0.049, 4e-4},
    {"stories3M-rot256-moe8x2-noise05-Q4_K_M", 0.051, 1e-3},
};

// The mean of |next_logprob - golden| over all positions of these cases.
Result<double> MeanError(Engine& engine, std::span<const GoldenCase> cases);

// The largest difference of any probability that the file's first case lists; `logits` are
// [token][vocab] of its tokens.
double LargestDifference(const GoldenFile& golden, std::span<const float> logits);

// The greedy continuation, of as many tokens.
Result<std::vector<TokenId>> Greedy(Engine& engine, const GoldenCase& expected, size_t count);

// How many greedy tokens are beyond doubt: those before the first margin below `margin`.
size_t ClearTokens(const GoldenCase& expected, double margin);

}  // namespace gguf_shard
