#include "tests/support/json_file.h"

#include <fstream>

namespace gguf_shard {

nlohmann::json ReadJson(const std::filesystem::path& path) {
  std::ifstream file(path);
  return nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
}

}  // namespace gguf_shard
