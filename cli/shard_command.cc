// gguf-shard shard: a GGUF becomes a core and its map.
#include <fmt/format.h>

#include <memory>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/json_output.h"
#include "cli/progress.h"
#include "core/digest.h"
#include "forge/shard.h"

namespace gguf_shard {
namespace {

struct ShardArguments {
  std::string model;
  std::string output_directory;
  std::string name = "core";
  std::string layout = "auto";
  uint32_t prefetch_distance = 8;
  std::string core_id;
  bool force = false;
  bool json = false;
  bool quiet = false;
};

Result<ShardOptions> OptionsFrom(const ShardArguments& arguments) {
  ShardOptions options;
  options.output_directory = arguments.output_directory;
  options.name = arguments.name;
  options.prefetch_distance = arguments.prefetch_distance;
  options.overwrite = arguments.force ? Overwrite::kAllow : Overwrite::kRefuse;
  GS_ASSIGN(options.layout, LayoutPolicyFromName(arguments.layout));
  if (!arguments.core_id.empty()) {
    GS_ASSIGN(options.core_id, CoreIdFromHex(arguments.core_id));
  }
  return options;
}

void PrintReport(const ShardReport& report) {
  const auto overhead =
      static_cast<double>(report.core_bytes) / static_cast<double>(report.source_bytes) - 1;
  fmt::print("{}: {} in {} pages, {:+.2f}% against the source ({})\n", report.core_path.string(),
             FormatBytes(report.core_bytes), report.map.core.page_count, overhead * 100,
             FormatBytes(report.source_bytes));
  fmt::print("{}: {} shards of {} tensors\n", report.map_path.string(), report.map.shard_count(),
             report.map.tensors.size());
  for (const MapSourceFile& file : report.map.source.files) {
    fmt::print("{}: sha256 {}\n", Printable(file.name), ToHex(file.sha256));
  }
}

void PrintReportJson(const ShardReport& report) {
  nlohmann::ordered_json files = nlohmann::ordered_json::array();
  for (const MapSourceFile& file : report.map.source.files) {
    files.push_back(
        {{"name", file.name}, {"bytes", file.byte_size}, {"sha256", ToHex(file.sha256)}});
  }
  PrintJson({{"core", report.core_path.string()},
             {"map", report.map_path.string()},
             {"core_id", CoreIdToHex(report.map.core.id)},
             {"core_bytes", report.core_bytes},
             {"source_bytes", report.source_bytes},
             {"page_count", report.map.core.page_count},
             {"shard_count", report.map.shard_count()},
             {"source_files", files}});
}

Result<ExitCode> RunShard(const ShardArguments& arguments) {
  GS_ASSIGN(const ShardOptions options, OptionsFrom(arguments));
  const auto progress = MakeProgress(arguments.quiet);
  GS_ASSIGN(const ShardReport report, ShardModel(arguments.model, options, *progress));
  if (arguments.json) {
    PrintReportJson(report);
  } else if (!arguments.quiet) {
    PrintReport(report);
  }
  return ExitCode::kSuccess;
}

}  // namespace

void AddShardCommand(CLI::App& app, CommandLine& line) {
  auto arguments = std::make_shared<ShardArguments>();
  CLI::App* command = app.add_subcommand("shard", "Turn a GGUF into verified 4 KB pages and a map");
  command->add_option("model", arguments->model, "A GGUF, or any part of a split one")
      ->required()
      ->type_name("MODEL.gguf");
  command
      ->add_option("-o,--output", arguments->output_directory,
                   "Where to write (default: MODEL.shard beside the model)")
      ->type_name("DIR");
  command->add_option("--name", arguments->name, "File names: NAME.gguf and NAME.sgmap")
      ->capture_default_str()
      ->type_name("NAME");
  command
      ->add_option("--layout", arguments->layout,
                   "auto: tiles for what is multiplied, rows for the rest; or force "
                   "column_major or row_major")
      ->capture_default_str()
      ->type_name("LAYOUT");
  command
      ->add_option("--prefetch-distance", arguments->prefetch_distance,
                   "Shards to read ahead when the model runs (the map's default)")
      ->capture_default_str()
      ->type_name("N");
  command
      ->add_option("--core-id", arguments->core_id,
                   "32 hexadecimal digits instead of a random id: same input, same output")
      ->type_name("HEX");
  command->add_flag("-f,--force", arguments->force, "Replace existing outputs");
  command->add_flag("--json", arguments->json, "Print the result as JSON");
  AddQuietFlag(*command, arguments->quiet);
  command->callback(
      [arguments, &line] { line.run = [arguments] { return RunShard(*arguments); }; });
}

}  // namespace gguf_shard
