#include "cli/commands.h"

namespace gguf_shard {

void AddCommands(CLI::App& app, CommandLine& line) {
  AddShardCommand(app, line);
  AddUnshardCommand(app, line);
  AddVerifyCommand(app, line);
  AddValidateCommand(app, line);
  AddInspectCommand(app, line);
  AddRunCommand(app, line);
  AddPlanCommand(app, line);
  AddSimulateCommand(app, line);
  AddDevicesCommand(app, line);
  AddTokenizeCommand(app, line);
  AddLogitsCommand(app, line);
  AddPerplexityCommand(app, line);
  AddDeltaCommand(app, line);
}

void AddQuietFlag(CLI::App& command, bool& quiet) {
  command.add_flag("-q,--quiet", quiet, "Print results and errors only, no progress");
}

}  // namespace gguf_shard
