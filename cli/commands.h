// The subcommands. Each lives in its own file and offers one function that adds it to the program:
//
//   void AddVerifyCommand(CLI::App& app, CommandLine& line) {
//     auto options = std::make_shared<VerifyArguments>();
//     CLI::App* command = app.add_subcommand("verify", "Check every page of a core");
//     command->add_option("map", options->map, "...")->required();
//     AddQuietFlag(*command, options->quiet);
//     command->callback([options, &line] { line.run = [options] { return RunVerify(*options); };
//     });
//   }
//
// The callback only stores what to run: it is called outside the parser, so that nothing is thrown
// through it. No option groups: CLI11 2.1 takes an empty argument for the name of one, and may then
// parse without end. A new subcommand adds its declaration here and one line to commands.cc.
// Thread-safety: none needed; used by RunCli only.
#pragma once

#include <CLI/App.hpp>
#include <functional>

#include "cli/exit_codes.h"
#include "core/error.h"

namespace gguf_shard {

// What the parsed command line asks for. `run` prints its results to stdout; an Error is printed by
// RunCli and becomes its exit code; an ExitCode is for outcomes that the command has reported
// itself.
struct CommandLine {
  std::function<Result<ExitCode>()> run;
};

// One per subcommand, each in cli/NAME_command.cc.
void AddShardCommand(CLI::App& app, CommandLine& line);
void AddUnshardCommand(CLI::App& app, CommandLine& line);
void AddVerifyCommand(CLI::App& app, CommandLine& line);
void AddValidateCommand(CLI::App& app, CommandLine& line);
void AddInspectCommand(CLI::App& app, CommandLine& line);
void AddTokenizeCommand(CLI::App& app, CommandLine& line);
void AddRunCommand(CLI::App& app, CommandLine& line);
void AddLogitsCommand(CLI::App& app, CommandLine& line);
void AddPerplexityCommand(CLI::App& app, CommandLine& line);
void AddPlanCommand(CLI::App& app, CommandLine& line);
void AddSimulateCommand(CLI::App& app, CommandLine& line);
void AddDevicesCommand(CLI::App& app, CommandLine& line);
void AddDeltaCommand(CLI::App& app, CommandLine& line);

// Adds every subcommand to the program, in the order in which the help lists them.
void AddCommands(CLI::App& app, CommandLine& line);

// -q, --quiet: results and errors only, no progress.
void AddQuietFlag(CLI::App& command, bool& quiet);

}  // namespace gguf_shard
