// The program behind main(): parses one command line, runs one subcommand, reports its error.
// Thread-safety: call once per process at a time (it installs signal handlers).
#pragma once

namespace gguf_shard {

// Returns the process's exit code (cli/exit_codes.h). Results go to stdout, everything else to
// stderr.
int RunCli(int argc, const char* const* argv);

}  // namespace gguf_shard
