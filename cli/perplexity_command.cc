// gguf-shard perplexity: how well a model predicts a text.
//
// The text is cut into windows of the context's length, each begun with BOS where the model has
// one. The second half of each window is scored, so that every scored token has at least half a
// window before it: the usual way, so figures can be compared with other engines'.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/engine_arguments.h"
#include "cli/json_output.h"
#include "core/file.h"

namespace gguf_shard {
namespace {

constexpr uint64_t kMaxTextBytes = uint64_t{1} << 30;
constexpr uint32_t kDefaultWindow = 512;

struct PerplexityArguments {
  EngineArguments engine;
  std::string file;
  uint32_t windows = 0;
  bool json = false;
  bool quiet = false;
};

// Mean and standard error of the negative log-probability.
class Score {
 public:
  void Add(double negative_logprob) {
    ++count_;
    sum_ += negative_logprob;
    sum_of_squares_ += negative_logprob * negative_logprob;
  }
  uint64_t count() const { return count_; }
  double perplexity() const { return std::exp(mean()); }
  double error() const {
    if (count_ < 2) return 0;
    const double n = static_cast<double>(count_);
    const double variance = std::max(0.0, sum_of_squares_ / n - mean() * mean());
    return perplexity() * std::sqrt(variance / (n - 1));
  }

 private:
  double mean() const { return count_ == 0 ? 0 : sum_ / static_cast<double>(count_); }

  uint64_t count_ = 0;
  double sum_ = 0;
  double sum_of_squares_ = 0;
};

double NegativeLogProbability(std::span<const float> logits, TokenId token) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  return largest + std::log(sum) - logits[static_cast<size_t>(token)];
}

// What a text of this tokenizer begins with, if with anything.
Result<std::optional<TokenId>> BeginningOf(const Tokenizer& tokenizer) {
  GS_ASSIGN(const std::vector<TokenId> empty_text, tokenizer.Encode("", EncodeOptions()));
  if (empty_text.empty() || empty_text.front() != tokenizer.bos()) return std::nullopt;
  return empty_text.front();
}

Result<void> ScoreWindow(Engine& engine, std::span<const TokenId> text,
                         std::optional<TokenId> beginning, Score& score) {
  std::vector<TokenId> window(text.begin(), text.end());
  if (beginning) window.front() = *beginning;  // the first token gives its place to BOS
  engine.Reset();
  return engine.EvaluateAll(window, [&](uint32_t position, std::span<const float> logits) {
    const size_t next = position + 1;
    if (next < window.size() && position >= window.size() / 2) {
      score.Add(NegativeLogProbability(logits, window[next]));
    }
    return Result<void>();
  });
}

void Print(const Score& score, uint64_t windows, const Engine& engine, bool json) {
  if (json) {
    PrintJson({{"perplexity", score.perplexity()},
               {"standard_error", score.error()},
               {"scored_tokens", score.count()},
               {"windows", windows},
               {"context_length", engine.context_length()}});
    return;
  }
  fmt::print("perplexity {:.4f} +/- {:.4f} over {} tokens ({} windows of {})\n", score.perplexity(),
             score.error(), score.count(), windows, engine.context_length());
}

Result<ExitCode> RunPerplexity(const PerplexityArguments& arguments) {
  GS_ASSIGN(EngineOptions options, MakeEngineOptions(arguments.engine));
  GS_ASSIGN(const std::string text, ReadWholeFile(arguments.file, kMaxTextBytes));
  GS_ASSIGN(auto model, LoadModel(arguments.engine));
  GS_ASSIGN(const std::vector<TokenId> tokens,
            model->tokenizer().Encode(text, {.add_bos = true, .parse_special = false}));
  GS_ASSIGN(const std::optional<TokenId> beginning, BeginningOf(model->tokenizer()));
  if (options.context_length == 0) {
    options.context_length = std::min(kDefaultWindow, model->hyperparameters().context_length);
  }
  const uint64_t window = options.context_length;
  const uint64_t whole_windows = tokens.size() / window;
  if (whole_windows == 0 || window < 4) {
    return Fail(Error(ErrorCode::kInvalidArgument,
                      "the text is shorter than one window, or the window (--ctx) too short")
                    .Expected(fmt::format("at least {} tokens", std::max<uint64_t>(window, 4)))
                    .Found(tokens.size()));
  }
  const uint64_t windows =
      arguments.windows > 0 ? std::min<uint64_t>(arguments.windows, whole_windows) : whole_windows;
  options.all_logits = true;
  GS_ASSIGN(const auto engine, Engine::Open(std::move(model), options));
  Score score;
  for (uint64_t index = 0; index < windows; ++index) {
    GS_TRY(
        ScoreWindow(*engine, std::span(tokens).subspan(index * window, window), beginning, score));
    if (!arguments.quiet) {
      fmt::print(stderr, "window {} of {}: {:.4f}\n", index + 1, windows, score.perplexity());
    }
  }
  Print(score, windows, *engine, arguments.json);
  return ExitCode::kSuccess;
}

}  // namespace

void AddPerplexityCommand(CLI::App& app, CommandLine& line) {
  auto arguments = std::make_shared<PerplexityArguments>();
  CLI::App* command = app.add_subcommand("perplexity", "Measure how well a model predicts a text");
  AddEngineArguments(*command, arguments->engine, "f16");
  command->add_option("--file", arguments->file, "The text")->required()->type_name("FILE");
  command->add_option("--windows", arguments->windows, "Score only the first N windows")
      ->type_name("N");
  command->add_flag("--json", arguments->json, "Print the result as JSON");
  AddQuietFlag(*command, arguments->quiet);
  command->callback(
      [arguments, &line] { line.run = [arguments] { return RunPerplexity(*arguments); }; });
}

}  // namespace gguf_shard
