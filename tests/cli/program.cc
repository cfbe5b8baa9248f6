#include "tests/cli/program.h"

#include <fcntl.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <sstream>
#include <thread>

#include "core/check.h"
#include "tests/support/temporary_directory.h"

namespace gguf_shard {
namespace {

// Replaces the child by the program; never returns.
[[noreturn]] void Execute(const std::vector<std::string>& arguments) {
  std::vector<char*> argv = {const_cast<char*>("gguf-shard")};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  execv(GS_PROGRAM, argv.data());
  _exit(126);
}

pid_t Start(const std::vector<std::string>& arguments, const std::string& out_path,
            const std::string& err_path) {
  const pid_t child = fork();
  GS_CHECK(child >= 0);
  if (child != 0) return child;
  const int out = open(out_path.c_str(), O_WRONLY | O_CREAT, 0644);
  const int err = open(err_path.c_str(), O_WRONLY | O_CREAT, 0644);
  dup2(out, STDOUT_FILENO);
  dup2(err, STDERR_FILENO);
  Execute(arguments);
}

std::string ReadText(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

int WaitForExit(pid_t child) {
  int status = 0;
  GS_CHECK(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

ProgramResult RunProgram(const std::vector<std::string>& arguments) {
  TemporaryDirectory temporary;
  return RunProgramInto(temporary / "out", arguments);
}

ProgramResult RunProgramInto(const std::string& out_path,
                             const std::vector<std::string>& arguments) {
  TemporaryDirectory temporary;
  const std::string err_path = temporary / "err";
  ProgramResult result;
  result.exit_code = WaitForExit(Start(arguments, out_path, err_path));
  if (!out_path.starts_with("/dev/")) result.out = ReadText(out_path);
  result.err = ReadText(err_path);
  return result;
}

ProgramResult InterruptProgram(const std::vector<std::string>& arguments, int signal_number,
                               std::chrono::milliseconds delay) {
  TemporaryDirectory temporary;
  const pid_t child = Start(arguments, temporary / "out", temporary / "err");
  std::this_thread::sleep_for(delay);
  kill(child, signal_number);
  ProgramResult result;
  result.exit_code = WaitForExit(child);
  result.out = ReadText(temporary / "out");
  result.err = ReadText(temporary / "err");
  return result;
}

ProgramResult RunProgramOnTerminal(const std::vector<std::string>& arguments) {
  int terminal = -1;
  winsize size{24, 80, 0, 0};
  const pid_t child = forkpty(&terminal, nullptr, nullptr, &size);
  GS_CHECK(child >= 0);
  if (child == 0) Execute(arguments);
  ProgramResult result;
  char buffer[4096];
  // Reading fails when the program has closed its side.
  for (ssize_t got = 0; (got = read(terminal, buffer, sizeof buffer)) > 0;) {
    result.out.append(buffer, static_cast<size_t>(got));
  }
  close(terminal);
  result.exit_code = WaitForExit(child);
  return result;
}

}  // namespace gguf_shard
