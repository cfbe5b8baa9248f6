// What an honest GGUF parses to: versions, types, shapes, alignments, files from elsewhere.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "core/bytes.h"
#include "core/gguf.h"
#include "core/gguf_parser.h"
#include "tests/corruption/gguf_image.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/testdata.h"

namespace gguf_shard {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using enum GgufValueType;

Result<GgufHeader> Parse(const GgufImage& image) {
  return ParseGgufHeader(AsBytes(image.bytes()), image.bytes().size());
}

Result<GgufHeader> ReadFile(const std::filesystem::path& path) {
  GS_ASSIGN(const File file, File::OpenRead(path));
  return ReadGgufHeader(file);
}

TEST(GgufReader, VersionsTwoAndThreeParseAlike) {
  for (const uint32_t version : {2u, 3u}) {
    const auto header = Parse(GgufImage(1, 1, version)
                                  .Key("general.name", kString)
                                  .String("tiny")
                                  .Tensor("w", {4, 2}, TensorType::kF32, 0)
                                  .Data(32));
    ASSERT_TRUE(header.has_value()) << header.error().ToString();
    EXPECT_EQ(header->version, version);
    EXPECT_EQ(header->GetString("general.name").value(), "tiny");
    EXPECT_THAT(header->FindTensor("w")->shape, ElementsAre(4, 2));
  }
}

TEST(GgufReader, TensorFieldsAreThoseOfTheFile) {
  const auto header = Parse(GgufImage(2, 0)
                                .Tensor("blk.0.ffn_up.weight", {512, 3}, TensorType::kQ4_K, 0)
                                .Tensor("blk.0.norm.weight", {8}, TensorType::kF16, 864)
                                .Data(864 + 16));
  ASSERT_TRUE(header.has_value()) << header.error().ToString();
  ASSERT_EQ(header->tensors.size(), 2u);
  const GgufTensor& up = header->tensors[0];
  EXPECT_EQ(up.name, "blk.0.ffn_up.weight");
  EXPECT_EQ(up.type, TensorType::kQ4_K);
  EXPECT_EQ(up.element_count, 1536u);
  EXPECT_EQ(up.byte_size, 6u * 144);
  EXPECT_EQ(up.data_offset, 0u);
  EXPECT_EQ(header->tensors[1].data_offset, 864u);
  EXPECT_EQ(header->tensors[1].byte_size, 16u);
  EXPECT_EQ(header->FindTensor("blk.0.norm.weight"), &header->tensors[1]);
  EXPECT_EQ(header->FindTensor("blk.0.norm"), nullptr);
  EXPECT_EQ(header->data_offset % 32, 0u);
  EXPECT_EQ(header->file_bytes, header->data_offset + 880);
}

TEST(GgufReader, BytesAreTheFileUpToTheDataSection) {
  const GgufImage image = GgufImage(1, 0).Tensor("w", {3}, TensorType::kI8, 0).Data(3);
  const auto header = Parse(image);
  ASSERT_TRUE(header.has_value());
  EXPECT_EQ(AsText(header->bytes()), image.bytes().substr(0, header->data_offset));
}

TEST(GgufReader, ScalarsHaveOneElementAndEmptyTensorsNone) {
  const auto header = Parse(GgufImage(4, 0)
                                .Tensor("scalar", {}, TensorType::kF32, 0)
                                .Tensor("empty", {0}, TensorType::kF32, 32)
                                .Tensor("no_rows", {256, 0, 7}, TensorType::kQ6_K, 32)
                                .Tensor("no_columns", {0, 5}, TensorType::kQ4_0, 64)
                                .Data(36));
  ASSERT_TRUE(header.has_value()) << header.error().ToString();
  EXPECT_THAT(header->tensors[0].shape, IsEmpty());
  EXPECT_EQ(header->tensors[0].element_count, 1u);
  EXPECT_EQ(header->tensors[0].byte_size, 4u);
  for (const size_t i : {1, 2, 3}) {
    EXPECT_EQ(header->tensors[i].element_count, 0u) << header->tensors[i].name;
    EXPECT_EQ(header->tensors[i].byte_size, 0u) << header->tensors[i].name;
  }
}

TEST(GgufReader, EveryKnownTensorTypeIsRead) {
  for (const TensorTypeInfo& info : AllTensorTypes()) {
    const auto header = Parse(GgufImage(1, 0)
                                  .Tensor("w", {info.block_weights * 3ull, 2}, info.type, 0)
                                  .Data(6 * info.block_bytes));
    ASSERT_TRUE(header.has_value()) << info.name << ": " << header.error().ToString();
    EXPECT_EQ(header->tensors[0].type, info.type) << info.name;
    EXPECT_EQ(header->tensors[0].byte_size, 6 * info.block_bytes) << info.name;
  }
}

TEST(GgufReader, EveryPowerOfTwoIsAnAlignment) {
  for (uint64_t alignment = 1; alignment <= kMaxGgufAlignment; alignment *= 2) {
    const auto header = Parse(GgufImage(2, 1)
                                  .Key(kGgufAlignmentKey, kUint32)
                                  .U32(static_cast<uint32_t>(alignment))
                                  .Tensor("a", {1}, TensorType::kI8, 0)
                                  .Tensor("b", {1}, TensorType::kI8, alignment)
                                  .Data(alignment + 1, alignment));
    ASSERT_TRUE(header.has_value()) << alignment << ": " << header.error().ToString();
    EXPECT_EQ(header->alignment, alignment);
    EXPECT_EQ(header->data_offset % alignment, 0u);
  }
}

TEST(GgufReader, AlignmentMayBeAnyIntegerType) {
  const auto header = Parse(GgufImage(0, 1).Key(kGgufAlignmentKey, kInt64).U64(64).PadTo(64));
  ASSERT_TRUE(header.has_value());
  EXPECT_EQ(header->alignment, 64u);
}

TEST(GgufReader, TensorsMayLieInAnyOrderWithGaps) {
  const auto header = Parse(GgufImage(3, 0)
                                .Tensor("last", {32}, TensorType::kI8, 128)
                                .Tensor("first", {32}, TensorType::kI8, 0)
                                .Tensor("middle", {31}, TensorType::kI8, 64)
                                .Data(160));
  ASSERT_TRUE(header.has_value()) << header.error().ToString();
  EXPECT_EQ(header->tensors[0].name, "last");
}

TEST(GgufReader, FileWithoutTensorsMayEndWithoutPadding) {
  const GgufImage image = GgufImage(0, 1).Key("general.name", kString).String("words only");
  const auto header = Parse(image);
  ASSERT_TRUE(header.has_value()) << header.error().ToString();
  EXPECT_EQ(header->data_offset, image.bytes().size());
  EXPECT_EQ(header->bytes().size(), image.bytes().size());
}

TEST(GgufReader, HeaderStaysValidWhenMoved) {
  auto parsed = Parse(GgufImage(1, 1)
                          .Key("general.name", kString)
                          .String("tiny")
                          .Tensor("w", {4}, TensorType::kF32, 0)
                          .Data(16));
  ASSERT_TRUE(parsed.has_value());
  const GgufHeader moved = *std::move(parsed);
  EXPECT_EQ(moved.GetString("general.name").value(), "tiny");
  EXPECT_EQ(moved.FindTensor("w"), &moved.tensors[0]);
  EXPECT_EQ(moved.metadata[0].first, "general.name");
}

TEST(GgufReader, KeptHeaderNeedsOnlyTheBytesBeforeTheData) {
  const GgufImage image = GgufImage(1, 0).Tensor("w", {64}, TensorType::kF32, 0).Data(256);
  const auto bytes = AsBytes(image.bytes());
  const size_t header_bytes = bytes.size() - 256;
  const auto header = ParseGgufHeader(bytes.first(header_bytes), bytes.size());
  ASSERT_TRUE(header.has_value()) << header.error().ToString();
  EXPECT_EQ(header->data_offset, header_bytes);
  const auto cut = ParseGgufHeader(bytes.first(header_bytes - 1), bytes.size());
  ASSERT_FALSE(cut.has_value());
  EXPECT_EQ(cut.error().code(), ErrorCode::kTruncated);
}

TEST(GgufReader, DirectFileIsReadToo) {
  const TemporaryDirectory directory;
  const GgufImage image = GgufImage(0, 1).Key("general.name", kString).String("direct").PadTo(4096);
  ASSERT_TRUE(WriteWholeFile(directory / "m.gguf", image.bytes(), Overwrite::kRefuse).has_value());
  const auto file = File::OpenRead(directory / "m.gguf", Caching::kDirect);
  ASSERT_TRUE(file.has_value()) << file.error().ToString();
  const auto header = ReadGgufHeader(*file);
  ASSERT_TRUE(header.has_value()) << header.error().ToString();
  EXPECT_EQ(header->GetString("general.name").value(), "direct");
}

// Holds exactly what was asked for, somewhere else after every growth; the old bytes are spoilt.
class MovingSource final : public GgufHeaderSource {
 public:
  explicit MovingSource(std::string_view file) : file_(file) {}

  Result<void> Reach(uint64_t end_offset) override {
    if (end_offset <= held_.size()) return {};
    std::vector<char> grown(file_.begin(), file_.begin() + static_cast<ptrdiff_t>(end_offset));
    std::fill(held_.begin(), held_.end(), '\xEE');
    held_.swap(grown);
    ++moves_;
    return {};
  }
  const std::byte* data() const override { return std::as_bytes(std::span(held_)).data(); }
  Result<GgufBytes> Take(uint64_t size_bytes) override {
    GS_TRY(Reach(size_bytes));
    GgufBytes bytes;
    GS_TRY(bytes.Resize(size_bytes));
    std::copy_n(data(), size_bytes, bytes.data());
    return bytes;
  }
  size_t moves() const { return moves_; }

 private:
  std::string_view file_;
  std::vector<char> held_;
  size_t moves_ = 0;
};

TEST(GgufReader, NothingPointsIntoBytesThatMoved) {
  const GgufImage image = GgufImage(1, 3)
                              .Key("general.name", kString)
                              .String("moving")
                              .ArrayKey("words", kString, 2)
                              .String("one")
                              .String("two")
                              .Key(kGgufAlignmentKey, kUint32)
                              .U32(64)
                              .Tensor("w", {4, 2}, TensorType::kF32, 0)
                              .Data(32, 64);
  MovingSource source(image.bytes());
  const auto header = GgufHeaderParser(source, image.bytes().size()).Parse();
  ASSERT_TRUE(header.has_value()) << header.error().ToString();
  EXPECT_GT(source.moves(), 20u);
  EXPECT_EQ(header->GetString("general.name").value(), "moving");
  EXPECT_THAT(*header->GetArray("words")->Strings(), ElementsAre("one", "two"));
  EXPECT_EQ(header->alignment, 64u);
  EXPECT_EQ(header->tensors[0].name, "w");
  EXPECT_EQ(AsText(header->bytes()), image.bytes().substr(0, header->data_offset));
}

// Headers that need the buffer to grow several times read like those in memory.
TEST(GgufReader, LargeHeaderFromAFileEqualsTheSameInMemory) {
  constexpr uint64_t kTokens = 200'000;
  GgufImage image(1, 2);
  image.ArrayKey("tokenizer.ggml.tokens", kString, kTokens);
  for (uint64_t i = 0; i < kTokens; ++i) image.String("token number " + std::to_string(i));
  image.ArrayKey("tokenizer.ggml.scores", kFloat32, kTokens);
  for (uint32_t i = 0; i < kTokens; ++i) image.U32(i);
  image.Tensor("w", {4}, TensorType::kF32, 0).Data(16);
  const TemporaryDirectory directory;
  ASSERT_TRUE(WriteWholeFile(directory / "m.gguf", image.bytes(), Overwrite::kRefuse).has_value());

  const auto header = ReadFile(directory / "m.gguf");
  ASSERT_TRUE(header.has_value()) << header.error().ToString();
  EXPECT_EQ(AsText(header->bytes()), image.bytes().substr(0, header->data_offset));
  const auto tokens = header->GetArray("tokenizer.ggml.tokens")->Strings();
  ASSERT_TRUE(tokens.has_value());
  EXPECT_EQ(tokens->size(), kTokens);
  EXPECT_EQ(tokens->back(), "token number 199999");
}

TEST(GgufReader, InTreeModelIsRead) {
  const auto header = ReadFile(InTreeDataDir() / "tale-Q4_K_M.gguf");
  ASSERT_TRUE(header.has_value()) << header.error().ToString();
  EXPECT_EQ(header->GetString("general.architecture").value(), "llama");
  EXPECT_EQ(header->GetUint("llama.block_count").value(), 4u);
  EXPECT_EQ(header->GetArray("tokenizer.ggml.tokens")->count, 1024u);
  EXPECT_EQ(header->tensors.size(), 39u);
  EXPECT_THAT(header->FindTensor("token_embd.weight")->shape, ElementsAre(256, 1024));
}

TEST(GgufReader, EverySharedModelIsReadAndFilledToItsEnd) {
  GS_REQUIRE_TESTDATA();
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(TestDataDir() / "models")) {
    if (entry.path().extension() != ".gguf") continue;
    const auto header = ReadFile(entry.path());
    ASSERT_TRUE(header.has_value()) << header.error().ToString();
    uint64_t end = 0;
    for (const GgufTensor& tensor : header->tensors) {
      end = std::max(end, tensor.data_offset + tensor.byte_size);
    }
    EXPECT_EQ(AlignUp(header->data_offset + end, header->alignment), header->file_bytes);
    EXPECT_GE(header->GetFloat("llama.attention.layer_norm_rms_epsilon")
                  .or_else([&header](const Error&) {
                    return header->GetFloat("qwen2.attention.layer_norm_rms_epsilon");
                  })
                  .value(),
              7.4e-6);
    ++files;
  }
  EXPECT_EQ(files, 21u);
}

TEST(GgufReader, EverySharedVocabularyIsRead) {
  GS_REQUIRE_TESTDATA();
  const auto directory = TestDataDir() / "vocab";
  if (!std::filesystem::exists(directory)) GTEST_SKIP() << "no vocab folder in the test data";
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (entry.path().extension() != ".gguf") continue;
    const auto header = ReadFile(entry.path());
    ASSERT_TRUE(header.has_value()) << header.error().ToString();
    EXPECT_THAT(header->tensors, IsEmpty());
    const auto tokens = header->GetArray("tokenizer.ggml.tokens");
    ASSERT_TRUE(tokens.has_value()) << entry.path();
    EXPECT_EQ(tokens->Strings()->size(), tokens->count);
    EXPECT_GT(tokens->count, 30'000u);
    ++files;
  }
  EXPECT_EQ(files, 8u);
}

}  // namespace
}  // namespace gguf_shard
