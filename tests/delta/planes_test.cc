// Blocks as planes, against the definition.
#include "delta/planes.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "tests/delta/synthetic_model.h"

namespace gguf_shard {
namespace {

TEST(Planes, HoldByteNOfEveryBlockTogetherAndComeBack) {
  for (const size_t block_bytes : {1, 2, 4, 7, 8, 18, 34, 110, 144, 210}) {
    for (const size_t count : {0, 1, 7, 8, 9, 255, 256, 257, 1000}) {
      for (const bool with_base : {false, true}) {
        const auto bytes = RandomBytes(block_bytes * count, block_bytes + count);
        const auto base = RandomBytes(with_base ? bytes.size() : 0, 3);
        std::vector<std::byte> planes(bytes.size());
        SplitPlanes(bytes, base, block_bytes, planes);
        for (size_t b = 0; b < count; ++b) {
          for (size_t p = 0; p < block_bytes; ++p) {
            const size_t at = b * block_bytes + p;
            const std::byte expected = with_base ? bytes[at] ^ base[at] : bytes[at];
            ASSERT_EQ(planes[p * count + b], expected) << block_bytes << " x " << count;
          }
        }
        std::vector<std::byte> joined(bytes.size());
        JoinPlanes(planes, base, block_bytes, joined);
        ASSERT_EQ(joined, bytes) << block_bytes << " x " << count;
      }
    }
  }
}

}  // namespace
}  // namespace gguf_shard
