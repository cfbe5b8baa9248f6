// make_synthetic_models DIR: writes every synthetic model as DIR/NAME.gguf, and DIR/tokens.json.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>

#include "core/file.h"
#include "tests/tools/synthetic_model.h"

namespace gguf_shard {
namespace {

Result<void> WriteAll(const std::filesystem::path& directory) {
  for (const SyntheticModel& model : SyntheticModels()) {
    GS_TRY(WriteSyntheticGguf(model, directory / (model.name + ".gguf")));
  }
  const std::string tokens = fmt::format("[{}]\n", fmt::join(SyntheticTokens(), ","));
  return WriteWholeFile(directory / "tokens.json", tokens, Overwrite::kAllow);
}

}  // namespace
}  // namespace gguf_shard

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: make_synthetic_models DIR\n");
    return 2;
  }
  if (const auto result = gguf_shard::WriteAll(argv[1]); !result) {
    fmt::print(stderr, "{}\n", result.error().ToString());
    return 1;
  }
  return 0;
}
