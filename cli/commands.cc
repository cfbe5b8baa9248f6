#include "cli/commands.h"

namespace gguf_shard {

void AddCommands([[maybe_unused]] CLI::App& app, [[maybe_unused]] CommandLine& line) {}

void AddQuietFlag(CLI::App& command, bool& quiet) {
  command.add_flag("-q,--quiet", quiet, "Print results and errors only, no progress");
}

}  // namespace gguf_shard
