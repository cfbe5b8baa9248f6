// gguf-shard unshard: the source files again, bit for bit.
#include <fmt/format.h>

#include <memory>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/json_output.h"
#include "cli/model_path.h"
#include "cli/progress.h"
#include "forge/unshard.h"

namespace gguf_shard {
namespace {

struct UnshardArguments {
  std::string map;
  std::string output_directory;
  bool force = false;
  bool json = false;
  bool quiet = false;
};

void PrintReport(const UnshardReport& report) {
  for (const UnshardedFile& file : report.files) {
    fmt::print("{}: {}, sha256 {} as the source\n", Printable(file.path.string()),
               FormatBytes(file.byte_size), ToHex(file.sha256));
  }
}

void PrintReportJson(const UnshardReport& report) {
  nlohmann::ordered_json files = nlohmann::ordered_json::array();
  for (const UnshardedFile& file : report.files) {
    files.push_back(
        {{"path", file.path.string()}, {"bytes", file.byte_size}, {"sha256", ToHex(file.sha256)}});
  }
  PrintJson({{"files", files}});
}

Result<ExitCode> RunUnshard(const UnshardArguments& arguments) {
  const UnshardOptions options{arguments.output_directory,
                               arguments.force ? Overwrite::kAllow : Overwrite::kRefuse};
  const auto progress = MakeProgress(arguments.quiet);
  GS_TRY(RecoverModel(arguments.map));
  GS_ASSIGN(const UnshardReport report, UnshardModel(arguments.map, options, *progress));
  if (arguments.json) {
    PrintReportJson(report);
  } else if (!arguments.quiet) {
    PrintReport(report);
  }
  return ExitCode::kSuccess;
}

}  // namespace

void AddUnshardCommand(CLI::App& app, CommandLine& line) {
  auto arguments = std::make_shared<UnshardArguments>();
  CLI::App* command =
      app.add_subcommand("unshard", "Give back the source files, bit for bit, proven by SHA-256");
  command->add_option("map", arguments->map, "The map, or the directory of core.sgmap")
      ->required()
      ->type_name("CORE.sgmap");
  command
      ->add_option("-o,--output", arguments->output_directory,
                   "Where to write (default: beside the map)")
      ->type_name("DIR");
  command->add_flag("-f,--force", arguments->force, "Replace existing outputs");
  command->add_flag("--json", arguments->json, "Print the result as JSON");
  AddQuietFlag(*command, arguments->quiet);
  command->callback(
      [arguments, &line] { line.run = [arguments] { return RunUnshard(*arguments); }; });
}

}  // namespace gguf_shard
