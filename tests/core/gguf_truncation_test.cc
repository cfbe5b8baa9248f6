// A GGUF cut at any byte of its header is truncated, not something else and never accepted.
#include <gtest/gtest.h>

#include <fstream>

#include "core/bytes.h"
#include "core/gguf.h"
#include "tests/corruption/gguf_image.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/testdata.h"

namespace gguf_shard {
namespace {

using enum GgufValueType;

// Something of every kind, and a tensor that ends with the file.
GgufImage OneOfEverything() {
  return GgufImage(3, 8)
      .Key("general.architecture", kString)
      .String("llama")
      .Key("a.bool", kBool)
      .U8(1)
      .Key("a.u64", kUint64)
      .U64(7)
      .Key("a.f32", kFloat32)
      .U32(0)
      .ArrayKey("a.strings", kString, 3)
      .String("one")
      .String("")
      .String("three")
      .ArrayKey("a.floats", kFloat32, 2)
      .U32(1)
      .U32(2)
      .ArrayKey("a.bools", kBool, 2)
      .U8(0)
      .U8(1)
      .Key(kGgufAlignmentKey, kUint32)
      .U32(64)
      .Tensor("scalar", {}, TensorType::kF32, 0)
      .Tensor("empty", {0, 3}, TensorType::kF32, 64)
      .Tensor("matrix", {32, 3}, TensorType::kQ4_0, 64)
      .Data(64 + 54, 64);
}

TEST(GgufTruncation, WholeFileIsAccepted) {
  const GgufImage image = OneOfEverything();
  const auto header = ParseGgufHeader(AsBytes(image.bytes()), image.bytes().size());
  ASSERT_TRUE(header.has_value()) << header.error().ToString();
}

TEST(GgufTruncation, EveryCutOfASmallFileInMemory) {
  const GgufImage image = OneOfEverything();
  for (size_t cut = 0; cut < image.bytes().size(); ++cut) {
    // A copy of exactly the bytes left, so that a sanitizer sees a read beyond them.
    const std::vector<char> left(image.bytes().begin(), image.bytes().begin() + cut);
    const auto header = ParseGgufHeader(std::as_bytes(std::span(left)), left.size());
    ASSERT_FALSE(header.has_value()) << cut;
    EXPECT_EQ(header.error().code(), ErrorCode::kTruncated)
        << cut << ": " << header.error().ToString();
  }
}

TEST(GgufTruncation, EveryCutOfASmallFileOnDisk) {
  const GgufImage image = OneOfEverything();
  const TemporaryDirectory directory;
  const auto path = directory / "cut.gguf";
  std::ofstream(path) << image.bytes();
  for (size_t cut = image.bytes().size(); cut-- > 0;) {
    std::filesystem::resize_file(path, cut);
    const auto file = File::OpenRead(path);
    ASSERT_TRUE(file.has_value());
    const auto header = ReadGgufHeader(*file);
    ASSERT_FALSE(header.has_value()) << cut;
    EXPECT_EQ(header.error().code(), ErrorCode::kTruncated)
        << cut << ": " << header.error().ToString();
    EXPECT_EQ(header.error().file(), path.string());
  }
}

// The header is kept, the claimed file is whole: only the bytes in memory are short.
TEST(GgufTruncation, EveryCutOfAKeptHeader) {
  const GgufImage image = OneOfEverything();
  const auto bytes = AsBytes(image.bytes());
  const auto whole = ParseGgufHeader(bytes, bytes.size());
  ASSERT_TRUE(whole.has_value());
  for (size_t cut = 0; cut < whole->data_offset; ++cut) {
    const auto header = ParseGgufHeader(bytes.first(cut), bytes.size());
    ASSERT_FALSE(header.has_value()) << cut;
    EXPECT_EQ(header.error().code(), ErrorCode::kTruncated) << cut;
  }
}

TEST(GgufTruncation, EveryCutOfARealHeader) {
  const auto file = File::OpenRead(InTreeDataDir() / "tale-Q4_K_M.gguf");
  ASSERT_TRUE(file.has_value()) << file.error().ToString();
  const auto whole = ReadGgufHeader(*file);
  ASSERT_TRUE(whole.has_value()) << whole.error().ToString();
  const auto bytes = whole->bytes();
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    const auto header = ParseGgufHeader(bytes.first(cut), cut);
    ASSERT_FALSE(header.has_value()) << cut;
    EXPECT_EQ(header.error().code(), ErrorCode::kTruncated)
        << cut << ": " << header.error().ToString();
  }
}

}  // namespace
}  // namespace gguf_shard
