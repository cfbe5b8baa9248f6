#include "tests/support/testdata.h"

#include <cstdlib>

namespace gguf_shard {

std::filesystem::path TestDataDir() {
  if (const char* named = std::getenv("GGUF_SHARD_TESTDATA")) return named;
  const std::filesystem::path beside =
      std::filesystem::path(GS_SOURCE_DIR) / ".." / "shared" / "testdata";
  std::error_code ignored;
  return std::filesystem::is_directory(beside, ignored) ? beside : std::filesystem::path();
}

std::filesystem::path InTreeDataDir() {
  return std::filesystem::path(GS_SOURCE_DIR) / "tests" / "data";
}

std::string InTreeModel() { return (InTreeDataDir() / "tale-Q4_K_M.gguf").string(); }

}  // namespace gguf_shard
