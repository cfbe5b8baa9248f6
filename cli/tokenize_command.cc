// gguf-shard tokenize: prints the token ids of texts.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/model_path.h"
#include "core/file.h"
#include "runtime/tokenizer.h"

namespace gguf_shard {
namespace {

constexpr uint64_t kMaxTextFileBytes = uint64_t{1} << 30;

struct TokenizeArguments {
  std::string path;
  std::vector<std::string> texts;
  std::vector<std::string> files;
  bool no_bos = false;
  bool no_special = false;
};

Result<void> PrintIds(const Tokenizer& tokenizer, std::string_view text,
                      const TokenizeArguments& arguments) {
  const EncodeOptions options = {.add_bos = !arguments.no_bos,
                                 .parse_special = !arguments.no_special};
  GS_ASSIGN(const std::vector<TokenId> ids, tokenizer.Encode(text, options));
  fmt::print("{}\n", fmt::join(ids, " "));
  return {};
}

Result<ExitCode> RunTokenize(const TokenizeArguments& arguments) {
  if (arguments.texts.empty() && arguments.files.empty()) {
    return Fail(ErrorCode::kInvalidArgument, "nothing to tokenize: give --prompt or --file");
  }
  GS_ASSIGN(const GgufHeader metadata, ReadModelMetadata(arguments.path));
  GS_ASSIGN(const auto tokenizer, Tokenizer::Create(metadata));
  for (const std::string& text : arguments.texts) {
    GS_TRY(PrintIds(*tokenizer, text, arguments));
  }
  for (const std::string& file : arguments.files) {
    GS_ASSIGN(const std::string text, ReadWholeFile(file, kMaxTextFileBytes));
    GS_TRY(PrintIds(*tokenizer, text, arguments));
  }
  return ExitCode::kSuccess;
}

}  // namespace

void AddTokenizeCommand(CLI::App& app, CommandLine& line) {
  auto arguments = std::make_shared<TokenizeArguments>();
  CLI::App* command =
      app.add_subcommand("tokenize", "Print the token ids of texts, a line for each");
  command->add_option("path", arguments->path, "MODEL.gguf, core.gguf, CORE.sgmap or its directory")
      ->required()
      ->type_name("PATH");
  // One value for each occurrence, taken as it is: a text may begin with a bracket.
  CLI::Option* text =
      command->add_option("-p,--prompt", arguments->texts, "A text; may be given more than once")
          ->allow_extra_args(false)
          ->type_name("TEXT");
  command->add_option("--file", arguments->files, "A file whose content is one text, instead")
      ->allow_extra_args(false)
      ->type_name("FILE")
      ->excludes(text);
  command->add_flag("--no-bos", arguments->no_bos, "Do not add BOS or EOS");
  command->add_flag("--no-special", arguments->no_special,
                    "Take control tokens written in the text as ordinary text");
  command->callback(
      [arguments, &line] { line.run = [arguments] { return RunTokenize(*arguments); }; });
}

}  // namespace gguf_shard
