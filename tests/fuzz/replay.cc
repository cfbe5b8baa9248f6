// Runs a fuzz target over the files and folders named, without libFuzzer. A finding ends the
// process as it would end the fuzzer; the file is named first, so that it can be seen which.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "core/file.h"
#include "tests/fuzz/fuzz.h"

namespace gguf_shard {
namespace {

constexpr uint64_t kMaxInputBytes = uint64_t{16} << 20;

std::vector<std::filesystem::path> InputsOf(int argc, char** argv) {
  std::vector<std::filesystem::path> inputs;
  for (int i = 1; i < argc; ++i) {
    if (!std::filesystem::is_directory(argv[i])) {
      inputs.emplace_back(argv[i]);
      continue;
    }
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
      if (entry.is_regular_file()) inputs.push_back(entry.path());
    }
  }
  std::sort(inputs.begin(), inputs.end());
  return inputs;
}

int Main(int argc, char** argv) {
  const auto inputs = InputsOf(argc, argv);
  if (inputs.empty()) {
    std::fprintf(stderr, "no inputs: name files or folders\n");
    return 1;
  }
  for (const auto& path : inputs) {
    const auto bytes = ReadWholeFile(path, kMaxInputBytes);
    if (!bytes) {
      std::fprintf(stderr, "%s\n", bytes.error().ToString().c_str());
      return 1;
    }
    std::printf("%s, %zu bytes\n", path.c_str(), bytes->size());
    std::fflush(stdout);
    // A copy of exactly this size, so that a sanitizer sees a read beyond the input.
    const std::vector<uint8_t> input(bytes->begin(), bytes->end());
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  std::printf("%zu inputs replayed\n", inputs.size());
  return 0;
}

}  // namespace
}  // namespace gguf_shard

int main(int argc, char** argv) { return gguf_shard::Main(argc, argv); }
