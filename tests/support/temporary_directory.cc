#include "tests/support/temporary_directory.h"

#include <cstdlib>
#include <string>

#include "core/check.h"

namespace gguf_shard {

TemporaryDirectory::TemporaryDirectory() {
  std::string pattern =
      (std::filesystem::temp_directory_path() / "gguf-shard-test-XXXXXX").string();
  GS_CHECK(mkdtemp(pattern.data()) != nullptr);
  path_ = pattern;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace gguf_shard
