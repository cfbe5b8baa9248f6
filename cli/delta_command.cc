// gguf-shard delta: patches between models.
#include "cli/delta_command.h"

#include "cli/model_path.h"

namespace gguf_shard {

Result<OpenedModel> OpenModelRecovered(const std::string& path) {
  GS_TRY(RecoverModel(path));
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
