// gguf-shard delta create and merge: patches are made.
#include <fmt/format.h>

#include <memory>
#include <vector>

#include "cli/delta_command.h"
#include "cli/format.h"
#include "cli/json_output.h"
#include "cli/progress.h"
#include "delta/create.h"
#include "delta/merge.h"

namespace gguf_shard {
namespace {

struct CreateArguments {
  std::string base;
  std::string target;
  std::vector<std::string> patches;
  std::string output;
  std::string level = "default";
  uint32_t threads = 0;
  bool trust_map = false;
  bool force = false;
  bool json = false;
  bool quiet = false;
};

Result<CreateOptions> OptionsFrom(const CreateArguments& arguments) {
  CreateOptions options;
  GS_ASSIGN(options.level, DeltaLevelFromName(arguments.level));
  options.trust_digests = arguments.trust_map;
  options.thread_count = arguments.threads;
  options.overwrite = arguments.force ? Overwrite::kAllow : Overwrite::kRefuse;
  return options;
}

void PrintReport(const CreateArguments& arguments, const CreateReport& report) {
  if (arguments.json) {
    PrintJson({{"patch", arguments.output},
               {"patch_bytes", report.patch_bytes},
               {"target_bytes", report.target_bytes},
               {"kept_tensors", report.kept_tensors},
               {"changed_tensors", report.changed_tensors},
               {"added_tensors", report.added_tensors},
               {"deleted_tensors", report.deleted_tensors}});
  } else if (!arguments.quiet) {
    const double share = report.target_bytes == 0 ? 0
                                                  : static_cast<double>(report.patch_bytes) /
                                                        static_cast<double>(report.target_bytes);
    fmt::print("{}: {}, {:.2f}% of the target ({})\n", arguments.output,
               FormatBytes(report.patch_bytes), share * 100, FormatBytes(report.target_bytes));
    fmt::print("tensors: {} kept, {} changed, {} added, {} deleted\n", report.kept_tensors,
               report.changed_tensors, report.added_tensors, report.deleted_tensors);
  }
}

Result<ExitCode> RunCreate(const CreateArguments& arguments) {
  GS_ASSIGN(const CreateOptions options, OptionsFrom(arguments));
  GS_ASSIGN(const OpenedModel base, OpenModelRecovered(arguments.base));
  GS_ASSIGN(const OpenedModel target, OpenModelRecovered(arguments.target));
  const auto progress = MakeProgress(arguments.quiet);
  GS_ASSIGN(const CreateReport report,
            CreatePatch(*base.view, *target.view, arguments.output, options, *progress));
  PrintReport(arguments, report);
  return ExitCode::kSuccess;
}

Result<ExitCode> RunMerge(const CreateArguments& arguments) {
  GS_ASSIGN(const CreateOptions options, OptionsFrom(arguments));
  GS_ASSIGN(const OpenedModel base, OpenModelRecovered(arguments.base));
  const auto progress = MakeProgress(arguments.quiet);
  const std::vector<std::filesystem::path> patches(arguments.patches.begin(),
                                                   arguments.patches.end());
  GS_ASSIGN(const CreateReport report,
            MergePatches(*base.view, patches, arguments.output, options, *progress));
  PrintReport(arguments, report);
  return ExitCode::kSuccess;
}

// What create and merge have in common.
void AddCommonOptions(CLI::App& command, CreateArguments& arguments) {
  command.add_option("--base", arguments.base, "The base: a GGUF, a map, or a map's directory")
      ->required()
      ->type_name("MODEL");
  command.add_option("-o,--output", arguments.output, "The patch to write")
      ->required()
      ->type_name("PATCH.sgdelta");
  command.add_option("--level", arguments.level, "fast, default or max")->capture_default_str();
  command.add_option("--threads", arguments.threads, "Threads (0: one per processor)");
  command.add_flag("--trust-map", arguments.trust_map,
                   "Take the digests in maps as they are: equal tensors are not read");
  command.add_flag("--force", arguments.force, "Replace an existing patch");
  command.add_flag("--json", arguments.json, "Print the result as JSON");
  AddQuietFlag(command, arguments.quiet);
}

}  // namespace

void AddDeltaCreateCommand(CLI::App& delta, CommandLine& line) {
  auto arguments = std::make_shared<CreateArguments>();
  CLI::App* command = delta.add_subcommand("create", "Make the patch from a base to a target");
  AddCommonOptions(*command, *arguments);
  command->add_option("--target", arguments->target, "The target: like the base")
      ->required()
      ->type_name("MODEL");
  command->callback(
      [arguments, &line] { line.run = [arguments] { return RunCreate(*arguments); }; });
}

void AddDeltaMergeCommand(CLI::App& delta, CommandLine& line) {
  auto arguments = std::make_shared<CreateArguments>();
  CLI::App* command = delta.add_subcommand("merge", "Make one patch of a chain of patches");
  AddCommonOptions(*command, *arguments);
  command->add_option("patches", arguments->patches, "The chain, first to last")
      ->required()
      ->type_name("PATCH.sgdelta");
  command->callback(
      [arguments, &line] { line.run = [arguments] { return RunMerge(*arguments); }; });
}

}  // namespace gguf_shard
