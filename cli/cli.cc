#include "cli/cli.h"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstdio>
#include <exception>
#include <new>
#include <system_error>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/format.h"
#include "core/cancel.h"

namespace gguf_shard {
namespace {

constexpr const char* kDescription =
    "Re-shards GGUF models into verified 4 KB pages and runs them within a memory budget.";

ExitCode Report(const Error& error) {
  fmt::print(stderr, "gguf-shard: error: {}\n", Printable(error.ToString()));
  return ExitCodeOf(error.code());
}

// A result that could not be written is not a success.
ExitCode FlushResults(ExitCode code) {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
  fmt::print(stderr, "gguf-shard: error: cannot write to standard output\n");
  return code == ExitCode::kSuccess ? ExitCode::kIo : code;
}

ExitCode ParseAndRun(int argc, const char* const* argv) {
  CLI::App app(kDescription, "gguf-shard");
  app.set_version_flag("--version", "gguf-shard " GS_VERSION);
  app.require_subcommand(1);
  CommandLine line;
  AddCommands(app, line);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? ExitCode::kSuccess : ExitCode::kUsage;
  }
  InstallCancelHandlers();
  const auto outcome = line.run();
  return outcome ? *outcome : Report(outcome.error());
}

}  // namespace

int RunCli(int argc, const char* const* argv) {
  ExitCode code = ExitCode::kInternal;
  try {
    code = FlushResults(ParseAndRun(argc, argv));
  } catch (const std::bad_alloc&) {
    code = Report(Error(ErrorCode::kOutOfMemory, "out of memory"));
  } catch (const std::system_error& error) {
    // Printing to a full or closed device throws.
    code = Report(Error(ErrorCode::kIo, error.what()));
  } catch (const std::exception& error) {
    fmt::print(stderr, "gguf-shard: internal error: {}\n", error.what());
  }
  return static_cast<int>(code);
}

}  // namespace gguf_shard
