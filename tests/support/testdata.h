// Where the tests find the shared models; empty when the folder is absent.
#pragma once

#include <filesystem>
#include <string>

namespace gguf_shard {

// GGUF_SHARD_TESTDATA, or ../shared/testdata beside the checkout; empty when neither exists.
std::filesystem::path TestDataDir();

// The in-tree model and other files under tests/data.
std::filesystem::path InTreeDataDir();
// A small trained model of them.
std::string InTreeModel();

}  // namespace gguf_shard

// Skips the test, clearly, when the shared test data is absent.
#define GS_REQUIRE_TESTDATA()                                                           \
  do {                                                                                  \
    if (::gguf_shard::TestDataDir().empty()) {                                          \
      GTEST_SKIP() << "shared test data absent: set GGUF_SHARD_TESTDATA to its folder"; \
    }                                                                                   \
  } while (0)
