#include "tests/support/json_schema.h"

#include <fmt/format.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>

#include "core/check.h"
#include "core/file.h"

namespace gguf_shard {
namespace {

constexpr int kNotInstalled = 77;  // of validate.py

struct CommandResult {
  int exit_code;
  std::string output;
};

CommandResult RunCommand(const std::string& command) {
  std::FILE* const pipe = popen(command.c_str(), "r");
  GS_CHECK(pipe != nullptr);
  CommandResult result;
  std::array<char, 4096> buffer;
  while (const size_t count = std::fread(buffer.data(), 1, buffer.size(), pipe)) {
    result.output.append(buffer.data(), count);
  }
  const int status = pclose(pipe);
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return result;
}

}  // namespace

SchemaVerdict CheckAgainstSchema(const nlohmann::json& document, const std::string& schema_name,
                                 const std::filesystem::path& scratch_directory) {
  const std::filesystem::path source = GS_SOURCE_DIR;
  const auto path = scratch_directory / "document.json";
  GS_CHECK(WriteWholeFile(path, document.dump(), Overwrite::kAllow));
  const auto result = RunCommand(
      fmt::format("'{}' '{}' '{}' 2>&1", (source / "tests" / "schemas" / "validate.py").string(),
                  (source / "schemas" / schema_name).string(), path.string()));
  SchemaVerdict verdict;
  verdict.skipped = result.exit_code == kNotInstalled;
  if (result.exit_code != 0) {
    verdict.complaint = fmt::format("exit code {}: {}", result.exit_code, result.output);
  }
  return verdict;
}

}  // namespace gguf_shard
