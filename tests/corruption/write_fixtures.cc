// write_fixtures DIR: writes every hostile GGUF and its expected error there.
#include <cstdio>
#include <filesystem>

#include "core/file.h"
#include "tests/corruption/hostile_gguf.h"

namespace gguf_shard {
namespace {

Result<void> WriteFixture(const std::filesystem::path& directory, const HostileGguf& hostile) {
  GS_TRY(WriteWholeFile(directory / (hostile.name + ".gguf"), hostile.bytes, Overwrite::kAllow));
  const std::string expected =
      std::string(ErrorCodeName(hostile.code)) + "\n" + hostile.fragment + "\n";
  return WriteWholeFile(directory / (hostile.name + ".expected"), expected, Overwrite::kAllow);
}

int Main(const std::filesystem::path& directory) {
  for (const HostileGguf& hostile : HostileGgufs()) {
    const auto written = WriteFixture(directory, hostile);
    if (!written) {
      std::fprintf(stderr, "%s\n", written.error().ToString().c_str());
      return 1;
    }
  }
  return 0;
}

}  // namespace
}  // namespace gguf_shard

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: write_fixtures DIR\n");
    return 2;
  }
  return gguf_shard::Main(argv[1]);
}
