// gguf-shard delta inspect and verify: what a patch holds, and whether it is whole.
#include <fmt/format.h>

#include <memory>

#include "cli/delta_command.h"
#include "cli/format.h"
#include "cli/json_output.h"
#include "cli/progress.h"
#include "delta/report.h"

namespace gguf_shard {
namespace {

struct DeltaInspectArguments {
  std::string patch;
  std::string base;
  uint32_t threads = 0;
  bool json = false;
  bool quiet = false;
};

nlohmann::ordered_json FilesJson(const Patch& patch) {
  nlohmann::ordered_json files = nlohmann::ordered_json::array();
  for (const PatchFile& file : patch.files) {
    files.push_back(
        {{"name", file.name}, {"bytes", file.byte_size}, {"sha256", ToHex(file.sha256)}});
  }
  return files;
}

nlohmann::ordered_json SummaryJson(const Patch& patch, const PatchSummary& summary) {
  nlohmann::ordered_json tensors = nlohmann::ordered_json::array();
  for (const TensorChange& change : summary.changes) {
    tensors.push_back({{"tensor", change.name},
                       {"base", change.base_name},
                       {"methods", change.methods},
                       {"target_bytes", change.target_bytes},
                       {"copied_bytes", change.copied_bytes},
                       {"modified_bytes", change.coded_bytes},
                       {"added_bytes", change.added_bytes},
                       {"patch_bytes", change.payload_bytes}});
  }
  return {{"level", DeltaLevelName(patch.level)},
          {"patch_bytes", summary.patch_bytes},
          {"target_bytes", summary.target_bytes},
          {"target_files", FilesJson(patch)},
          {"header_patch_bytes", summary.header_payload_bytes},
          {"tensor_patch_bytes", summary.tensor_payload_bytes},
          {"frame_count", patch.frames.size()},
          {"deleted", patch.deleted},
          {"tensors", tensors}};
}

void PrintSummary(const Patch& patch, const PatchSummary& summary) {
  for (const PatchFile& file : patch.files) {
    fmt::print("target {}: {}, sha256 {}\n", file.name, FormatBytes(file.byte_size),
               ToHex(file.sha256));
  }
  fmt::print(
      "patch: {} ({}), level {}, {} frames; headers and gaps {}\n",
      FormatBytes(summary.patch_bytes),
      fmt::format("{:.2f}%", 100 * static_cast<double>(summary.patch_bytes) /
                                 static_cast<double>(std::max<uint64_t>(summary.target_bytes, 1))),
      DeltaLevelName(patch.level), patch.frames.size(), FormatBytes(summary.header_payload_bytes));
  TextTable table({Align::kLeft, Align::kLeft, Align::kRight, Align::kRight, Align::kRight,
                   Align::kRight, Align::kRight, Align::kRight});
  table.AddRow({"tensor", "method", "pages", "kept", "modified", "added", "in patch", "ratio"});
  const auto Pages = [](uint64_t bytes) {
    return std::to_string((bytes + kPageContentBytes - 1) / kPageContentBytes);
  };
  for (const TensorChange& change : summary.changes) {
    table.AddRow({change.name, change.methods.empty() ? "copy" : change.methods,
                  Pages(change.target_bytes), Pages(change.copied_bytes), Pages(change.coded_bytes),
                  Pages(change.added_bytes), FormatBytes(change.payload_bytes),
                  fmt::format("{:.2f}%", 100 * static_cast<double>(change.payload_bytes) /
                                             static_cast<double>(
                                                 std::max<uint64_t>(change.target_bytes, 1)))});
  }
  if (!summary.changes.empty()) fmt::print("{}", table.ToString());
  for (const std::string& name : patch.deleted) fmt::print("deleted: {}\n", name);
  fmt::print("all other tensors are kept\n");
}

Result<ExitCode> RunDeltaInspect(const DeltaInspectArguments& arguments) {
  GS_ASSIGN(const PatchReader patch, PatchReader::Open(arguments.patch));
  const PatchSummary summary = SummarizePatch(patch);
  if (arguments.json) {
    PrintJson(SummaryJson(patch.patch(), summary));
  } else {
    PrintSummary(patch.patch(), summary);
  }
  return ExitCode::kSuccess;
}

Result<ExitCode> RunVerify(const DeltaInspectArguments& arguments) {
  GS_ASSIGN(const PatchReader patch, PatchReader::Open(arguments.patch));
  OpenedModel base;
  if (!arguments.base.empty()) {
    GS_ASSIGN(base, OpenModelRecovered(arguments.base));
  }
  const auto progress = MakeProgress(arguments.quiet);
  GS_TRY(VerifyPatch(patch, base.view.get(), arguments.threads, *progress));
  if (arguments.quiet) return ExitCode::kSuccess;
  fmt::print("{}: {}\n", arguments.patch,
             base.view ? "intact, and gives its target from this base" : "intact");
  return ExitCode::kSuccess;
}

}  // namespace

void AddDeltaInspectCommand(CLI::App& delta, CommandLine& line) {
  auto arguments = std::make_shared<DeltaInspectArguments>();
  CLI::App* command = delta.add_subcommand("inspect", "Show what a patch changes");
  command->add_option("patch", arguments->patch, "The patch")
      ->required()
      ->type_name("PATCH.sgdelta");
  command->add_flag("--json", arguments->json, "Print it as JSON");
  command->callback(
      [arguments, &line] { line.run = [arguments] { return RunDeltaInspect(*arguments); }; });
}

void AddDeltaVerifyCommand(CLI::App& delta, CommandLine& line) {
  auto arguments = std::make_shared<DeltaInspectArguments>();
  CLI::App* command = delta.add_subcommand(
      "verify", "Check a patch; with its base, prove that it gives its target");
  command->add_option("patch", arguments->patch, "The patch")
      ->required()
      ->type_name("PATCH.sgdelta");
  command->add_option("--base", arguments->base, "The base: a GGUF, a map, or a map's directory")
      ->type_name("MODEL");
  command->add_option("--threads", arguments->threads, "Threads (0: one per processor)");
  AddQuietFlag(*command, arguments->quiet);
  command->callback(
      [arguments, &line] { line.run = [arguments] { return RunVerify(*arguments); }; });
}

}  // namespace gguf_shard
