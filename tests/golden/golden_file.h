// What a model must compute, as files in golden/ and tests/data/expected hold it: computed by an
// independent engine from exactly dequantized weights.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/tokenizer.h"

namespace gguf_shard {

struct GoldenPosition {
  double logsumexp = 0;
  std::optional<double> next_logprob;  // of the token that follows; none at the end
  std::vector<std::pair<TokenId, double>> top;
};

struct GoldenCase {
  std::string prompt;
  std::vector<TokenId> tokens;
  std::vector<GoldenPosition> positions;
  std::vector<TokenId> greedy;  // may end with the end-of-text token
  std::vector<double> greedy_margin;
  std::string text;
};

struct GoldenFile {
  uint32_t vocab_size = 0;
  std::vector<GoldenCase> cases;
};

// Aborts the test program on a file that is not there or not as described.
GoldenFile ReadGoldenFile(const std::filesystem::path& path);

}  // namespace gguf_shard
