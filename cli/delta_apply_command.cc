// gguf-shard delta apply and undo: patches are used.
#include <fmt/format.h>

#include <memory>

#include "cli/delta_command.h"
#include "cli/format.h"
#include "cli/progress.h"
#include "delta/apply.h"
#include "delta/in_place.h"

namespace gguf_shard {
namespace {

struct ApplyArguments {
  std::string base;
  std::string patch;
  std::string output;
  uint32_t threads = 0;
  bool in_place = false;
  bool trust_map = false;
  bool force = false;
  bool quiet = false;
};

// A core gives a core unless the output is named like a GGUF file.
bool WantsCore(const ApplyArguments& arguments, const OpenedModel& base) {
  return base.core != nullptr && std::filesystem::path(arguments.output).extension() != ".gguf";
}

Result<ApplyReport> Apply(const ApplyArguments& arguments, const OpenedModel& base,
                          Progress& progress) {
  GS_ASSIGN(const PatchReader patch, PatchReader::Open(arguments.patch));
  GS_TRY(CheckBase(patch.patch(), *base.view, arguments.trust_map, arguments.threads));
  GS_ASSIGN(const auto target, PatchedView::Create(patch, *base.view));
  const ApplyOptions options{arguments.threads,
                             arguments.force ? Overwrite::kAllow : Overwrite::kRefuse};
  if (arguments.in_place) {
    return base.core != nullptr
               ? ApplyInPlace(patch, *target, *base.core, options, progress)
               : ApplyGgufInPlace(patch, *target, arguments.base, options, progress);
  }
  return WantsCore(arguments, base)
             ? ApplyToCore(patch, *target, *base.core, arguments.output, options, progress)
             : ApplyToGguf(patch, *target, arguments.output, options, progress);
}

Result<ExitCode> RunApply(const ApplyArguments& arguments) {
  if (arguments.in_place != arguments.output.empty()) {
    return Fail(ErrorCode::kInvalidArgument, "give either an output (-o) or --in-place");
  }
  GS_ASSIGN(const OpenedModel base, OpenModelRecovered(arguments.base));
  const auto progress = MakeProgress(arguments.quiet);
  GS_ASSIGN(const ApplyReport report, Apply(arguments, base, *progress));
  if (arguments.quiet) return ExitCode::kSuccess;
  for (const auto& file : report.files) fmt::print("{}\n", file.string());
  fmt::print("{} written, {} shared with the base; the target's SHA-256 is proven\n",
             FormatBytes(report.written_bytes), FormatBytes(report.shared_bytes));
  return ExitCode::kSuccess;
}

struct UndoArguments {
  std::string model;
  bool quiet = false;
};

Result<ExitCode> RunUndo(const UndoArguments& arguments) {
  const auto progress = MakeProgress(arguments.quiet);
  GS_TRY(UndoInPlace(arguments.model, *progress));
  if (!arguments.quiet) {
    fmt::print("{}: as before the last in-place patch\n", arguments.model);
  }
  return ExitCode::kSuccess;
}

}  // namespace

void AddDeltaApplyCommand(CLI::App& delta, CommandLine& line) {
  auto arguments = std::make_shared<ApplyArguments>();
  CLI::App* command = delta.add_subcommand("apply", "Make the target from a base and a patch");
  command->add_option("--base", arguments->base, "The base: a GGUF, a map, or a map's directory")
      ->required()
      ->type_name("MODEL");
  command->add_option("--patch", arguments->patch, "The patch")
      ->required()
      ->type_name("PATCH.sgdelta");
  CLI::Option* output = command->add_option(
      "-o,--output", arguments->output,
      "A file NAME.gguf for the target's GGUF, or a directory: for a core when the base is one");
  command->add_flag("--in-place", arguments->in_place, "Change the base itself; see delta undo")
      ->excludes(output);
  command->add_option("--threads", arguments->threads, "Threads (0: one per processor)");
  command->add_flag("--trust-map", arguments->trust_map,
                    "Take the base's digests from its map instead of reading it first");
  command->add_flag("--force", arguments->force, "Replace existing outputs");
  AddQuietFlag(*command, arguments->quiet);
  command->callback(
      [arguments, &line] { line.run = [arguments] { return RunApply(*arguments); }; });
}

void AddDeltaUndoCommand(CLI::App& delta, CommandLine& line) {
  auto arguments = std::make_shared<UndoArguments>();
  CLI::App* command = delta.add_subcommand("undo", "Take back the last in-place patch");
  command->add_option("model", arguments->model, "What was patched: a GGUF, map or directory")
      ->required()
      ->type_name("MODEL");
  AddQuietFlag(*command, arguments->quiet);
  command->callback([arguments, &line] { line.run = [arguments] { return RunUndo(*arguments); }; });
}

}  // namespace gguf_shard
