#include "tests/golden/golden_checks.h"

#include <algorithm>
#include <cmath>

#include "tests/golden/sharded_model.h"

namespace gguf_shard {
namespace {

TokenId BestToken(std::span<const float> logits) {
  return static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

}  // namespace

void PrintTo(const GoldenModel& model, std::ostream* out) { *out << model.name; }

void PrintTo(const SyntheticModel& model, std::ostream* out) { *out << model.name; }

std::string TestNameOf(const GoldenModel& model) {
  std::string name = model.name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

Result<double> MeanError(Engine& engine, std::span<const GoldenCase> cases) {
  double sum = 0;
  size_t count = 0;
  for (const GoldenCase& expected : cases) {
    engine.Reset();
    GS_TRY(engine.EvaluateAll(
        expected.tokens, [&](uint32_t position, std::span<const float> logits) -> Result<void> {
          const GoldenPosition& at = expected.positions[position];
          if (!at.next_logprob) return {};
          const auto next = static_cast<size_t>(expected.tokens[position + 1]);
          sum += std::abs(logits[next] - LogSumExp(logits) - *at.next_logprob);
          ++count;
          return {};
        }));
  }
  return sum / static_cast<double>(count);
}

double LargestDifference(const GoldenFile& golden, std::span<const float> logits) {
  const GoldenCase& expected = golden.cases.front();
  double largest = 0;
  for (size_t position = 0; position < expected.positions.size(); ++position) {
    const auto row = logits.subspan(position * golden.vocab_size, golden.vocab_size);
    const double logsumexp = LogSumExp(row);
    const auto compare = [&](TokenId token, double logprob) {
      const double ours = row[static_cast<size_t>(token)] - logsumexp;
      largest = std::max(largest, std::abs(ours - logprob));
    };
    const GoldenPosition& at = expected.positions[position];
    largest = std::max(largest, std::abs(logsumexp - at.logsumexp));
    for (const auto& [id, logprob] : at.top) compare(id, logprob);
    if (at.next_logprob) compare(expected.tokens[position + 1], *at.next_logprob);
  }
  return largest;
}

Result<std::vector<TokenId>> Greedy(Engine& engine, const GoldenCase& expected, size_t count) {
  engine.Reset();
  std::vector<TokenId> greedy;
  GS_ASSIGN(std::span<float> logits, engine.Evaluate(expected.tokens));
  while (true) {
    greedy.push_back(BestToken(logits));
    if (greedy.size() >= count) return greedy;
    GS_ASSIGN(logits, engine.Evaluate({&greedy.back(), 1}));
  }
}

size_t ClearTokens(const GoldenCase& expected, double margin) {
  const auto& margins = expected.greedy_margin;
  const auto doubtful = std::find_if(margins.begin(), margins.end(),
                                     [margin](double value) { return value < margin; });
  return static_cast<size_t>(doubtful - margins.begin());
}

}  // namespace gguf_shard
