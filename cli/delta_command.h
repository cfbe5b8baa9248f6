// The subcommands of `gguf-shard delta`, and what they share. Thread-safety: used by RunCli only.
#pragma once

#include <CLI/App.hpp>
#include <string>

#include "cli/commands.h"
#include "delta/model_view.h"

namespace gguf_shard {

void AddDeltaCreateCommand(CLI::App& delta, CommandLine& line);
void AddDeltaApplyCommand(CLI::App& delta, CommandLine& line);
void AddDeltaUndoCommand(CLI::App& delta, CommandLine& line);
void AddDeltaInspectCommand(CLI::App& delta, CommandLine& line);
void AddDeltaVerifyCommand(CLI::App& delta, CommandLine& line);
void AddDeltaMergeCommand(CLI::App& delta, CommandLine& line);

// Opens a GGUF, a map or a map's directory; finishes an interrupted in-place patch of it first, and
// says so on stderr.
Result<OpenedModel> OpenModelRecovered(const std::string& path);

}  // namespace gguf_shard
