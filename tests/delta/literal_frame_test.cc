// Frames of literals are what any zstd decoder reads, and the same on every processor.
#include "delta/literal_frame.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "delta/huffman_code.h"
#include "delta/wide.h"
#include "delta/zstd.h"

namespace gguf_shard {
namespace {

using Bytes = std::vector<std::byte>;

// Differences of weights: small numbers of both signs; `scale` says how small.
Bytes MakeResiduals(size_t count, double scale) {
  std::mt19937_64 random(count + static_cast<uint64_t>(scale * 1000));
  std::normal_distribution<double> value(0, scale);
  Bytes bytes(count);
  for (std::byte& byte : bytes) {
    byte = static_cast<std::byte>(static_cast<int64_t>(std::lround(value(random))) & 0xff);
  }
  return bytes;
}

Bytes Decoded(const Bytes& frame, size_t size) {
  Bytes bytes(size);
  const auto decoded = ZstdDecompress(frame, bytes);
  EXPECT_TRUE(decoded) << decoded.error().ToString();
  return bytes;
}

class LiteralFrames : public testing::TestWithParam<size_t> {
 protected:
  ~LiteralFrames() override { LimitWide(Wide::kAvx512); }
};

TEST_P(LiteralFrames, AreReadByZstdAndTheSameEverywhere) {
  for (const double scale : {0.8, 3.0, 20.0, 70.0, 5000.0}) {
    const Bytes bytes = MakeResiduals(GetParam(), scale);
    LimitWide(Wide::kAvx512);
    const auto wide = LiteralFrame(bytes);
    ASSERT_TRUE(wide) << scale;
    EXPECT_EQ(Decoded(*wide, bytes.size()), bytes) << scale;
    LimitWide(Wide::kNone);
    EXPECT_EQ(LiteralFrame(bytes), wide) << scale;
  }
}

// Around the sizes of chunks, of the smallest coded block, and of whole blocks.
INSTANTIATE_TEST_SUITE_P(Sizes, LiteralFrames,
                         testing::Values(16, 1023, 1024, 1279, 4095, 65537, 131072, 131073, 135100,
                                         400001));

TEST(LiteralFrame, IsNextToTheEntropy) {
  const Bytes bytes = MakeResiduals(1 << 20, 10);
  // Of a normal distribution: log2(scale * sqrt(2 pi e)).
  const double entropy = static_cast<double>(bytes.size()) * std::log2(10 * 4.1327) / 8;
  // The codes of bytes that do not occur take some of the room.
  EXPECT_LT(static_cast<double>(LiteralFrame(bytes)->size()), entropy * 1.05);
}

TEST(LiteralFrame, KeepsBlocksThatNoCodeShortens) {
  const Bytes bytes = MakeResiduals(300000, 100000);
  const auto frame = LiteralFrame(bytes);
  ASSERT_TRUE(frame);
  EXPECT_LT(frame->size(), bytes.size() + 32);
  EXPECT_EQ(Decoded(*frame, bytes.size()), bytes);
}

TEST(LiteralFrame, WritesBlocksOfOneByteAsOne) {
  Bytes bytes = MakeResiduals(3 * 131072, 70);
  std::fill_n(bytes.begin() + 131072, 131072, std::byte{9});
  const auto frame = LiteralFrame(bytes);
  ASSERT_TRUE(frame);
  EXPECT_LT(frame->size(), 2 * 131072u + 32);
  EXPECT_EQ(Decoded(*frame, bytes.size()), bytes);
}

// A value that the sample missed has a code, too.
TEST(LiteralFrame, HoldsBytesThatAreNotInTheSample) {
  Bytes bytes = MakeResiduals(131072, 3);
  for (size_t i = 0; i < 256; ++i) bytes[64 + (i / 64) * 512 + i % 64] = static_cast<std::byte>(i);
  const auto frame = LiteralFrame(bytes);
  ASSERT_TRUE(frame);
  EXPECT_LT(frame->size(), bytes.size() * 3 / 4);
  EXPECT_EQ(Decoded(*frame, bytes.size()), bytes);
}

TEST(LiteralFrame, LeavesToZstdWhatRepeats) {
  EXPECT_FALSE(LiteralFrame({}));
  EXPECT_FALSE(LiteralFrame(Bytes(100000)));
  EXPECT_FALSE(LiteralFrame(MakeResiduals(100000, 0.3)));
}

// Counts that grow like Fibonacci's numbers want codes of any length.
TEST(HuffmanCode, IsCompleteUnderTheLimit) {
  std::array<uint32_t, 256> counts{};
  uint32_t previous = 0;
  uint32_t count = 1;
  for (size_t i = 0; i < 40; ++i) {
    counts[i * 5] = count;
    count += std::exchange(previous, count);
  }
  const HuffmanCode code = MakeHuffmanCode(counts);
  uint32_t space = 0;
  for (const uint8_t bits : code.bits) {
    EXPECT_GE(bits, 1);
    ASSERT_LE(bits, kMaxHuffmanBits);
    space += 1u << (kMaxHuffmanBits - bits);
  }
  EXPECT_EQ(space, 1u << kMaxHuffmanBits);
  EXPECT_LE(code.bits[39 * 5], 2);
  EXPECT_LE(HuffmanTreeDescription(code).size(), 128u);
}

}  // namespace
}  // namespace gguf_shard
