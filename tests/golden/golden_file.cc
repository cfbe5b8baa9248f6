#include "tests/golden/golden_file.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "core/check.h"

namespace gguf_shard {
namespace {

GoldenPosition ReadPosition(const nlohmann::json& json) {
  GoldenPosition position;
  position.logsumexp = json.at("logsumexp");
  if (json.contains("next_logprob")) position.next_logprob = json.at("next_logprob");
  for (const auto& entry : json.at("top")) position.top.emplace_back(entry.at(0), entry.at(1));
  return position;
}

GoldenCase ReadCase(const nlohmann::json& json) {
  GoldenCase golden;
  golden.prompt = json.value("prompt", "");
  golden.tokens = json.at("tokens").get<std::vector<TokenId>>();
  for (const auto& position : json.at("positions")) {
    golden.positions.push_back(ReadPosition(position));
  }
  golden.greedy = json.value("greedy", std::vector<TokenId>());
  golden.greedy_margin = json.value("greedy_margin", std::vector<double>());
  golden.text = json.value("text", "");
  GS_CHECK(golden.positions.size() == golden.tokens.size());
  return golden;
}

}  // namespace

GoldenFile ReadGoldenFile(const std::filesystem::path& path) {
  std::ifstream file(path);
  GS_CHECK(file.good());
  const auto json = nlohmann::json::parse(file);
  GoldenFile golden;
  golden.vocab_size = json.at("vocab");
  for (const auto& entry : json.at("cases")) golden.cases.push_back(ReadCase(entry));
  GS_CHECK(!golden.cases.empty());
  return golden;
}

}  // namespace gguf_shard
