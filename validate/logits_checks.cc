// Does the model compute the same, wherever and with however little memory?
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "runtime/weights.h"
#include "validate/check_list.h"
#include "validate/context.h"

namespace gguf_shard {
namespace {

// Log-probabilities: both sides round activations differently (16 bits on the CPU).
constexpr double kMeanLimit = 2e-3;

double LogSumExp(std::span<const float> logits) {
  const double highest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - highest);
  return highest + std::log(sum);
}

struct Difference {
  double mean = 0;  // of log-probabilities of tokens that matter, above e^-12
  double largest = 0;
};

Difference Compare(std::span<const float> a, std::span<const float> b, size_t vocab_size) {
  constexpr double kMatters = -12;
  Difference difference;
  uint64_t count = 0;
  for (size_t row = 0; row + vocab_size <= a.size(); row += vocab_size) {
    const auto x = a.subspan(row, vocab_size);
    const auto y = b.subspan(row, vocab_size);
    const double x_sum = LogSumExp(x);
    const double y_sum = LogSumExp(y);
    for (size_t i = 0; i < vocab_size; ++i) {
      const double p = x[i] - x_sum;
      const double q = y[i] - y_sum;
      if (std::max(p, q) < kMatters) continue;
      difference.mean += std::abs(p - q);
      difference.largest = std::max(difference.largest, std::abs(p - q));
      ++count;
    }
  }
  if (count > 0) difference.mean /= static_cast<double>(count);
  return difference;
}

Result<Outcome> CheckDevice(ValidationContext& context) {
  context.progress().StartSteps("logits.device", 2);
  GS_ASSIGN(const DeviceReference* device, context.device_reference());
  const std::vector<float>& found = device->logits;
  context.progress().Advance(1);
  GS_ASSIGN(const auto tokens, context.PromptTokens());
  GS_ASSIGN(const std::vector<float>* expected, context.reference_logits());
  context.progress().Advance(1);
  if (found.size() != expected->size()) return Broken("the device gave other many logits");
  const Difference difference = Compare(*expected, found, found.size() / tokens.size());
  Outcome outcome = Passed(
      fmt::format("log-probabilities of {} tokens differ by {:.1e} in the mean, {:.1e} at most",
                  tokens.size(), difference.mean, difference.largest));
  outcome.measurements.push_back(
      {"mean difference", difference.mean, "nats", kMeanLimit, "allowed"});
  outcome.clean = tokens.size();
  if (!(difference.mean <= kMeanLimit)) outcome.status = CheckStatus::kBroken;
  return outcome;
}

// Pools between the smallest and all of the weights.
Result<std::vector<uint64_t>> Pools(ValidationContext& context, size_t count) {
  GS_ASSIGN(const auto model, Model::Load(context.options().map_path));
  GS_ASSIGN(const uint64_t smallest, MinimumPoolOf(*model, ProbeOptions()));
  const uint64_t all = std::max(model->weight_bytes(), smallest);
  std::vector<uint64_t> pools;
  for (size_t i = 0; i < count; ++i) {
    const double share = count > 1 ? static_cast<double>(i) / static_cast<double>(count - 1) : 0;
    const auto above = static_cast<uint64_t>(static_cast<double>(all - smallest) * share);
    pools.push_back((smallest + above) / kPageBytes * kPageBytes);
  }
  return pools;
}

Result<Outcome> CheckBudgets(ValidationContext& context) {
  const size_t count = context.core_is_large() && !context.options().full ? 2 : 4;
  context.progress().StartSteps("logits.budgets", count + 1);
  GS_ASSIGN(const auto tokens, context.PromptTokens());
  GS_ASSIGN(const std::vector<float>* expected, context.reference_logits());
  context.progress().Advance(1);
  GS_ASSIGN(const auto pools, Pools(context, count));
  uint64_t equal = 0;
  std::string different;
  for (const uint64_t pool : pools) {
    EngineOptions options = ProbeOptions();
    options.pool_bytes = pool;
    GS_ASSIGN(const auto found, ProbeLogits(context.options().map_path, options, tokens));
    if (found == *expected) {
      ++equal;
    } else {
      different += fmt::format(" {} bytes", pool);
    }
    context.progress().Advance(1);
  }
  Outcome outcome =
      Passed(fmt::format("the logits of {} tokens are the same bits with {} pools, "
                         "from {} to {} KiB",
                         tokens.size(), equal, pools.front() >> 10, pools.back() >> 10));
  outcome.clean = equal;
  if (!different.empty()) return Broken("other logits with a pool of" + different);
  return outcome;
}

}  // namespace

void AddLogitsChecks(std::vector<Check>& checks) {
  checks.push_back({"logits.budgets", CheckGroup::kIntegrity,
                    "logits are the same, bit for bit, whatever the memory", CheckBudgets});
  checks.push_back({"logits.device", CheckGroup::kIntegrity,
                    "the CPU and the Vulkan device agree on a short prompt", CheckDevice});
}

}  // namespace gguf_shard
