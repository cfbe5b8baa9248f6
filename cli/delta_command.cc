// gguf-shard delta: patches between models.
#include "cli/delta_command.h"

#include <fmt/format.h>

#include "delta/in_place.h"

namespace gguf_shard {

Result<OpenedModel> OpenModelRecovered(const std::string& path) {
  if (std::filesystem::path(path).extension() != ".gguf") {
    GS_ASSIGN(const bool recovered, RecoverCore(path));
    if (recovered) {
      fmt::print(stderr, "{}: an interrupted in-place patch was rolled back\n", path);
    }
  }
  return OpenModel(path);
}

void AddDeltaCommand(CLI::App& app, CommandLine& line) {
  CLI::App* command = app.add_subcommand("delta", "Patches between a model and its fine-tunes");
  command->require_subcommand(1);
  AddDeltaCreateCommand(*command, line);
  AddDeltaApplyCommand(*command, line);
  AddDeltaUndoCommand(*command, line);
  AddDeltaInspectCommand(*command, line);
  AddDeltaVerifyCommand(*command, line);
  AddDeltaMergeCommand(*command, line);
}

}  // namespace gguf_shard
