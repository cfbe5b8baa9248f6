// gguf-shard logits: what a model computes, in the shape of the golden files that engines are
// compared by: for each position the log-probability of the token that follows and the best tokens.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/engine_arguments.h"

namespace gguf_shard {
namespace {

struct LogitsArguments {
  EngineArguments engine;
  std::vector<std::string> prompts;
  std::vector<std::string> token_lists;
  uint32_t greedy_tokens = 0;
  uint32_t top = 12;
  bool json = false;
};

struct ScoredToken {
  TokenId id;
  double logprob;
};

struct Position {
  double logsumexp = 0;
  std::optional<double> next_logprob;
  std::vector<ScoredToken> top;
};

struct Case {
  std::string prompt;
  std::vector<TokenId> tokens;
  std::vector<Position> positions;
  std::vector<TokenId> greedy;
  std::vector<double> greedy_margin;
  std::string text;
};

double LogSumExp(std::span<const float> logits) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  const double sum =
      std::accumulate(logits.begin(), logits.end(), 0.0,
                      [&](double total, float logit) { return total + std::exp(logit - largest); });
  return largest + std::log(sum);
}

// The `count` best tokens, best first, the lower id first among equals.
std::vector<ScoredToken> BestTokens(std::span<const float> logits, size_t count, double logsumexp) {
  std::vector<TokenId> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  count = std::min(count, ids.size());
  const auto better = [&](TokenId a, TokenId b) {
    const float x = logits[static_cast<size_t>(a)];
    const float y = logits[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  };
  std::partial_sort(ids.begin(), ids.begin() + static_cast<ptrdiff_t>(count), ids.end(), better);
  std::vector<ScoredToken> best;
  for (size_t rank = 0; rank < count; ++rank) {
    best.push_back({ids[rank], logits[static_cast<size_t>(ids[rank])] - logsumexp});
  }
  return best;
}

Position Describe(std::span<const float> logits, std::optional<TokenId> next, uint32_t top) {
  Position position;
  position.logsumexp = LogSumExp(logits);
  if (next) position.next_logprob = logits[static_cast<size_t>(*next)] - position.logsumexp;
  position.top = BestTokens(logits, top, position.logsumexp);
  return position;
}

// The best token again and again; a token that ends the text is the last, without a margin.
Result<void> ContinueGreedily(Engine& engine, std::vector<ScoredToken> best, uint32_t count,
                              Case& result) {
  const Tokenizer& tokenizer = engine.model().tokenizer();
  while (true) {
    result.greedy.push_back(best.front().id);
    if (tokenizer.IsEndOfGeneration(best.front().id)) break;
    const double second = best.size() > 1 ? best[1].logprob : best[0].logprob;
    result.greedy_margin.push_back(best[0].logprob - second);
    if (result.greedy.size() == count || engine.position() == engine.context_length()) break;
    GS_ASSIGN(const std::span<float> logits, engine.Evaluate({&result.greedy.back(), 1}));
    best = BestTokens(logits, 2, 0);
  }
  result.text = tokenizer.Decode(result.greedy, false);
  return {};
}

Result<Case> RunCase(Engine& engine, const LogitsArguments& arguments, std::string prompt,
                     std::vector<TokenId> tokens) {
  Case result;
  result.prompt = std::move(prompt);
  result.tokens = std::move(tokens);
  std::vector<ScoredToken> last;
  engine.Reset();
  const auto sink = [&](uint32_t position, std::span<const float> logits) -> Result<void> {
    std::optional<TokenId> next;
    if (position + 1 < result.tokens.size()) next = result.tokens[position + 1];
    result.positions.push_back(Describe(logits, next, arguments.top));
    if (!next) last = BestTokens(logits, 2, 0);
    return {};
  };
  GS_TRY(engine.EvaluateAll(result.tokens, sink));
  if (arguments.greedy_tokens > 0) {
    GS_TRY(ContinueGreedily(engine, std::move(last), arguments.greedy_tokens, result));
  }
  return result;
}

double Rounded(double value) { return std::round(value * 1e6) / 1e6; }

nlohmann::ordered_json ToJson(const Position& position) {
  nlohmann::ordered_json json;
  json["logsumexp"] = Rounded(position.logsumexp);
  if (position.next_logprob) json["next_logprob"] = Rounded(*position.next_logprob);
  json["top"] = nlohmann::ordered_json::array();
  for (const ScoredToken& token : position.top) {
    json["top"].push_back({token.id, Rounded(token.logprob)});
  }
  return json;
}

nlohmann::ordered_json ToJson(const Case& result, bool greedy) {
  nlohmann::ordered_json json = {{"prompt", result.prompt}, {"tokens", result.tokens}};
  json["positions"] = nlohmann::ordered_json::array();
  for (const Position& position : result.positions) json["positions"].push_back(ToJson(position));
  if (!greedy) return json;
  json["greedy"] = result.greedy;
  json["greedy_margin"] = nlohmann::ordered_json::array();
  for (const double margin : result.greedy_margin) json["greedy_margin"].push_back(Rounded(margin));
  json["text"] = result.text;
  return json;
}

std::string Dump(const nlohmann::ordered_json& json) {
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

// One line for each case.
void PrintCasesJson(const Engine& engine, const LogitsArguments& arguments,
                    const std::vector<Case>& cases) {
  fmt::print("{{\"model\":{},\"vocab\":{},\"kv_cache\":{},\"cases\":[\n",
             Dump(engine.model().map().source.name), engine.model().weights().vocab_size(),
             Dump(arguments.engine.kv_type));
  for (size_t index = 0; index < cases.size(); ++index) {
    fmt::print("{}{}\n", Dump(ToJson(cases[index], arguments.greedy_tokens > 0)),
               index + 1 < cases.size() ? "," : "");
  }
  fmt::print("]}}\n");
}

void PrintCaseText(const Engine& engine, const Case& result) {
  constexpr size_t kShownTokens = 5;
  const Tokenizer& tokenizer = engine.model().tokenizer();
  const auto quoted = [&](TokenId id) { return Dump(tokenizer.TokenBytes(id, true)); };
  for (size_t index = 0; index < result.positions.size(); ++index) {
    const Position& position = result.positions[index];
    fmt::print("{:>5}  {:>6} {:<14}", index, result.tokens[index], quoted(result.tokens[index]));
    fmt::print("  next {:>9}", position.next_logprob ? fmt::format("{:.5f}", *position.next_logprob)
                                                     : std::string("-"));
    for (size_t rank = 0; rank < std::min(kShownTokens, position.top.size()); ++rank) {
      fmt::print("  {} {:.3f}", quoted(position.top[rank].id), position.top[rank].logprob);
    }
    fmt::print("\n");
  }
  if (!result.greedy.empty()) fmt::print("greedy: {}\n", Dump(result.text));
}

Result<std::vector<std::pair<std::string, std::vector<TokenId>>>> ReadInputs(
    const Tokenizer& tokenizer, const LogitsArguments& arguments) {
  std::vector<std::pair<std::string, std::vector<TokenId>>> inputs;
  for (const std::string& prompt : arguments.prompts) {
    GS_ASSIGN(std::vector<TokenId> tokens, tokenizer.Encode(prompt, EncodeOptions()));
    inputs.emplace_back(prompt, std::move(tokens));
  }
  for (const std::string& list : arguments.token_lists) {
    GS_ASSIGN(std::vector<TokenId> tokens, ParseTokenIds(list));
    std::string text = tokenizer.Decode(tokens, false);
    inputs.emplace_back(std::move(text), std::move(tokens));
  }
  return inputs;
}

Result<ExitCode> RunLogits(const LogitsArguments& arguments) {
  if (arguments.prompts.empty() && arguments.token_lists.empty()) {
    return Fail(ErrorCode::kInvalidArgument, "nothing to evaluate: give --prompt or --tokens");
  }
  GS_ASSIGN(EngineOptions options, MakeEngineOptions(arguments.engine));
  GS_ASSIGN(auto model, LoadModel(arguments.engine));
  GS_ASSIGN(const auto inputs, ReadInputs(model->tokenizer(), arguments));
  size_t longest = 0;
  for (const auto& [prompt, tokens] : inputs) longest = std::max(longest, tokens.size());
  options.needed_context =
      static_cast<uint32_t>(std::min<uint64_t>(longest + arguments.greedy_tokens, kMaxContext));
  options.all_logits = true;
  GS_ASSIGN(const auto engine, Engine::Open(std::move(model), options));
  std::vector<Case> cases;
  for (const auto& [prompt, tokens] : inputs) {
    GS_ASSIGN(Case result, RunCase(*engine, arguments, prompt, tokens));
    cases.push_back(std::move(result));
  }
  if (arguments.json) {
    PrintCasesJson(*engine, arguments, cases);
  } else {
    for (const Case& result : cases) PrintCaseText(*engine, result);
  }
  return ExitCode::kSuccess;
}

}  // namespace

void AddLogitsCommand(CLI::App& app, CommandLine& line) {
  auto arguments = std::make_shared<LogitsArguments>();
  CLI::App* command =
      app.add_subcommand("logits", "Print log-probabilities for each position of a text");
  AddEngineArguments(*command, arguments->engine, "f32");
  CLI::Option* text =
      command->add_option("-p,--prompt", arguments->prompts, "A text; may be given more than once")
          ->allow_extra_args(false)
          ->type_name("TEXT");
  command->add_option("--tokens", arguments->token_lists, "Token ids instead of a text")
      ->allow_extra_args(false)
      ->type_name("1,2,3")
      ->excludes(text);
  command->add_option("--greedy", arguments->greedy_tokens, "Continue with the N best tokens")
      ->type_name("N");
  command->add_option("--top", arguments->top, "Best tokens listed for each position")
      ->capture_default_str()
      ->type_name("K");
  command->add_flag("--json", arguments->json, "Print everything as JSON, a line for each text");
  command->callback(
      [arguments, &line] { line.run = [arguments] { return RunLogits(*arguments); }; });
}

}  // namespace gguf_shard
