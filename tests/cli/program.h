// Runs the built program as a user would, in a process of its own. Thread-safety: for one thread.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

namespace gguf_shard {

struct ProgramResult {
  int exit_code = -1;  // -1: ended by a signal
  std::string out;
  std::string err;
};

// Runs `gguf-shard ARGUMENTS...` to its end.
ProgramResult RunProgram(const std::vector<std::string>& arguments);

// The same, with stdout going to a file or device.
ProgramResult RunProgramInto(const std::string& out_path,
                             const std::vector<std::string>& arguments);

// Runs it, sends a signal after a while, and waits for its end.
ProgramResult InterruptProgram(const std::vector<std::string>& arguments, int signal_number,
                               std::chrono::milliseconds delay);

// Runs it on a terminal of its own; both streams come back in `out`.
ProgramResult RunProgramOnTerminal(const std::vector<std::string>& arguments);

}  // namespace gguf_shard
