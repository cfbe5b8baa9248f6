#include "core/plain_read.h"

#include <gtest/gtest.h>

#include <vector>

namespace gguf_shard {
namespace {

TEST(PlainRead, SumsEveryWordOnce) {
  std::vector<uint64_t> words(96);
  uint64_t sum = 0;
  for (size_t i = 0; i < words.size(); ++i) {
    words[i] = (uint64_t{1} << 57) * i + 3 * i + 1;  // the sum wraps
    sum += words[i];
  }
  const auto* bytes = reinterpret_cast<const std::byte*>(words.data());
  EXPECT_EQ(PlainRead(bytes, words.size() * 8), sum);
  EXPECT_EQ(PlainRead(bytes, 256) + PlainRead(bytes + 256, 512), sum);
  EXPECT_EQ(PlainRead(bytes, 0), 0u);
}

TEST(PlainRead, StartsAnywhere) {
  std::vector<std::byte> bytes(256 + 1);
  bytes[1] = std::byte{5};
  bytes[256] = std::byte{1};
  EXPECT_EQ(PlainRead(bytes.data() + 1, 256), 5 + (uint64_t{1} << 56));
}

}  // namespace
}  // namespace gguf_shard
