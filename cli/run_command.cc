// gguf-shard run: continues a text with a model that streams from its pages.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <random>
#include <string>

#include "cli/commands.h"
#include "cli/engine_arguments.h"
#include "cli/run_statistics.h"
#include "core/clock.h"
#include "core/file.h"
#include "runtime/generate.h"

namespace gguf_shard {
namespace {

constexpr uint32_t kDefaultTokens = 256;

struct RunArguments {
  EngineArguments engine;
  std::string prompt;
  uint32_t tokens = kDefaultTokens;
  SamplingParams sampling;
  bool seed_given = false;
  bool echo = false;
  bool quiet = false;
  bool compare = false;
  std::string stats_file;
  std::string trace_file;
};

// Prints text as soon as its characters are whole.
class TextPrinter {
 public:
  Result<void> Print(std::string_view bytes) { return Write(stream_.Push(bytes)); }
  Result<void> Finish() { return Write(stream_.Finish() + "\n"); }

 private:
  static Result<void> Write(const std::string& text) {
    if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() &&
        std::fflush(stdout) == 0) {
      return {};
    }
    return Fail(ErrorCode::kIo, "cannot write to standard output");
  }

  Utf8Stream stream_;
};

// Room for the prompt and what is asked for, so that a default context is not too short.
uint32_t NeededContext(size_t prompt_tokens, uint32_t tokens) {
  const uint64_t needed = prompt_tokens + tokens;
  return static_cast<uint32_t>(std::min<uint64_t>(needed, kMaxContext));
}

Result<Generation> GenerateText(Engine& engine, std::span<const TokenId> prompt,
                                const RunArguments& arguments) {
  TextPrinter printer;
  if (arguments.echo) GS_TRY(printer.Print(arguments.prompt));
  const GenerateOptions options = {arguments.tokens, arguments.sampling};
  const Tokenizer& tokenizer = engine.model().tokenizer();
  Result<Generation> generation = Generate(engine, prompt, options, [&](TokenId token) {
    return printer.Print(tokenizer.TokenBytes(token, false));
  });
  GS_TRY(printer.Finish());
  return generation;
}

Result<void> Report(const RunStatistics& statistics, const RunArguments& arguments) {
  if (!arguments.quiet) fmt::print(stderr, "\n{}", StatisticsText(statistics));
  if (arguments.stats_file.empty()) return {};
  return WriteWholeFile(arguments.stats_file, StatisticsJson(statistics).dump(2) + "\n",
                        Overwrite::kAllow);
}

// Of less, too much would come from the processor's cache.
constexpr uint64_t kLeastMeasuredBytes = uint64_t{64} << 20;

// What this machine should have made of such a run.
Result<SpeedEstimate> Expected(const EngineArguments& arguments, const EngineOptions& options,
                               const MemoryPlan& plan) {
  GS_ASSIGN(const auto model, LoadModel(arguments));
  GS_ASSIGN(const MachineSpeed machine,
            MeasureMachine(*model, options.thread_count,
                           std::clamp(plan.pool_bytes, kLeastMeasuredBytes, kMeasuredBytes)));
  return EstimateSpeed(*model, options, plan.pool_bytes, machine);
}

Result<ExitCode> RunRun(RunArguments arguments) {
  const auto start = std::chrono::steady_clock::now();
  if (!arguments.seed_given) arguments.sampling.seed = std::random_device()();
  GS_TRY(CheckSamplingParams(arguments.sampling));
  GS_ASSIGN(EngineOptions options, MakeEngineOptions(arguments.engine));
  GS_ASSIGN(auto model, LoadModel(arguments.engine));
  GS_ASSIGN(const std::vector<TokenId> prompt,
            model->tokenizer().Encode(arguments.prompt, EncodeOptions()));
  options.trace_path = arguments.trace_file;
  options.needed_context = NeededContext(prompt.size(), arguments.tokens);
  GS_ASSIGN(auto engine, Engine::Open(std::move(model), options));
  RunStatistics statistics;
  statistics.load_seconds = SecondsSince(start);
  GS_ASSIGN(statistics.generation, GenerateText(*engine, prompt, arguments));
  GS_ASSIGN(statistics.engine, engine->Stats());
  statistics.plan = engine->plan();
  statistics.kv_type = options.kv_type;
  statistics.seed = arguments.sampling.seed;
  statistics.page_source = engine->DescribeSource();
  GS_TRY(engine->FinishTrace());
  if (arguments.compare) {
    // The run's memory goes first: the measurements need some.
    engine.reset();
    GS_ASSIGN(statistics.expected, Expected(arguments.engine, options, statistics.plan));
  }
  GS_TRY(Report(statistics, arguments));
  const bool cancelled = statistics.generation.stop_reason == StopReason::kCancelled;
  return cancelled ? ExitCode::kInterrupted : ExitCode::kSuccess;
}

void AddSamplingOptions(CLI::App& command, RunArguments& arguments) {
  SamplingParams& sampling = arguments.sampling;
  command.add_option("--temp", sampling.temperature, "Temperature; 0 always takes the best token")
      ->capture_default_str();
  command.add_option("--top-k", sampling.top_k, "Choose among the K best tokens; 0: all")
      ->capture_default_str();
  command
      .add_option("--top-p", sampling.top_p, "Choose among the best tokens that hold P together")
      ->capture_default_str();
  command
      .add_option("--min-p", sampling.min_p,
                  "Leave out tokens below this share of the best one's probability")
      ->capture_default_str();
  command
      .add_option("--repeat-penalty", sampling.repetition_penalty,
                  "Above 1, makes recent tokens less likely")
      ->capture_default_str();
  command.add_option("--repeat-window", sampling.repetition_window, "How many tokens are recent")
      ->capture_default_str();
  command
      .add_option_function<uint64_t>(
          "--seed",
          [&arguments](uint64_t seed) {
            arguments.sampling.seed = seed;
            arguments.seed_given = true;
          },
          "The same seed gives the same text (default: a new one each time)")
      ->type_name("N");
}

}  // namespace

void AddRunCommand(CLI::App& app, CommandLine& line) {
  auto arguments = std::make_shared<RunArguments>();
  CLI::App* command = app.add_subcommand("run", "Continue a text, streaming the model's pages");
  AddEngineArguments(*command, arguments->engine, "f16");
  command->add_option("-p,--prompt", arguments->prompt, "The text to continue")
      ->required()
      ->type_name("TEXT");
  command
      ->add_option("-n,--tokens", arguments->tokens,
                   "Tokens to generate at most; 0: until the text ends or the context is full")
      ->capture_default_str();
  AddSamplingOptions(*command, *arguments);
  command->add_flag("--echo", arguments->echo, "Print the prompt before its continuation");
  command->add_option("--stats", arguments->stats_file, "Write the statistics to this file as JSON")
      ->type_name("FILE");
  command->add_flag("--compare", arguments->compare,
                    "Measure this machine after the run, and print the speed to be expected");
  command
      ->add_option("--trace", arguments->trace_file,
                   "Record which shards are used, for `gguf-shard simulate`")
      ->type_name("FILE");
  AddQuietFlag(*command, arguments->quiet);
  command->callback([arguments, &line] { line.run = [arguments] { return RunRun(*arguments); }; });
}

}  // namespace gguf_shard
