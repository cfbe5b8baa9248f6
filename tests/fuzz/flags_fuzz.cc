// The command line: words from anywhere are refused or become a command that could be run; none is
// run. Also the readers of values that the options leave to us.
//
//   input: words, each ended by a line end
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "cli/commands.h"
#include "cli/engine_arguments.h"
#include "cli/size_argument.h"
#include "runtime/device_request.h"
#include "tests/fuzz/fuzz.h"
#include "validate/report.h"

namespace gguf_shard {
namespace {

constexpr size_t kMaxWords = 64;

std::vector<std::string> WordsOf(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty() && words.size() < kMaxWords) {
    const size_t end = text.find('\n');
    // As a shell hands them over: without zeros.
    words.emplace_back(text.substr(0, end).substr(0, text.find('\0')));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return words;
}

template <typename T>
void ExpectNamedRefusal(const Result<T>& result) {
  if (result) return;
  GS_FUZZ_EXPECT(result.error().code() == ErrorCode::kInvalidArgument);
  GS_FUZZ_EXPECT(!result.error().ToString().empty());
}

void CheckValues(const std::string& word) {
  ExpectNamedRefusal(ParseByteSize(word));
  ExpectNamedRefusal(ParseDevice(word));
  ExpectNamedRefusal(ParseTokenIds(word));
  ExpectNamedRefusal(ReportFormatOf(word));
}

void CheckParsing(const std::vector<std::string>& words) {
  std::vector<const char*> arguments = {"gguf-shard"};
  for (const std::string& word : words) arguments.push_back(word.c_str());
  CLI::App app("fuzz", "gguf-shard");
  app.require_subcommand(1);
  CommandLine line;
  AddCommands(app, line);
  try {
    app.parse(static_cast<int>(arguments.size()), arguments.data());
  } catch (const CLI::ParseError&) {
    return;
  }
  GS_FUZZ_EXPECT(line.run != nullptr);
}

}  // namespace
}  // namespace gguf_shard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size_bytes) {
  using namespace gguf_shard;
  const auto words = WordsOf({reinterpret_cast<const char*>(data), size_bytes});
  for (const std::string& word : words) CheckValues(word);
  CheckParsing(words);
  return 0;
}
