// Models in one file and in several: what belongs together opens as one, everything else is named.
#include "core/gguf_model.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <optional>

#include "core/bytes.h"
#include "core/gguf_writer.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/testdata.h"

namespace gguf_shard {
namespace {

using ::testing::HasSubstr;

// What a part of a split claims; nothing leaves the key out.
struct Claims {
  std::optional<uint16_t> no;
  std::optional<uint16_t> count = 3;
  std::optional<int32_t> tensors = 3;
  std::string architecture;
  std::string tensor;
};

void WritePart(const std::filesystem::path& path, const Claims& claims) {
  GgufWriter writer;
  if (!claims.architecture.empty()) writer.AddString("general.architecture", claims.architecture);
  if (claims.no) writer.AddUint16("split.no", *claims.no);
  if (claims.count) writer.AddUint16("split.count", *claims.count);
  if (claims.tensors) writer.AddInt32("split.tensors.count", *claims.tensors);
  const uint64_t shape[] = {8};
  writer.AddTensor(claims.tensor, TensorType::kF32, shape, 0);
  const auto header = writer.Serialize();
  std::ofstream file(path, std::ios::binary);
  file << AsText(header) << std::string(32, '\1');
  ASSERT_TRUE(file.flush().good());
}

// A split of three parts, of which a test changes what it wants.
class SplitTest : public testing::Test {
 protected:
  SplitTest() {
    for (uint16_t i = 0; i < 3; ++i) {
      claims_[i].no = i;
      claims_[i].tensor = fmt::format("w{}", i);
    }
    claims_[0].architecture = "llama";
  }
  std::filesystem::path PartPath(size_t part_index) const {
    return directory_ / fmt::format("tiny-{:05}-of-00003.gguf", part_index + 1);
  }
  Result<GgufModel> WriteAndOpen(size_t opened_index = 0) {
    for (size_t i = 0; i < 3; ++i) WritePart(PartPath(i), claims_[i]);
    return OpenGgufModel(PartPath(opened_index));
  }
  void ExpectRefused(ErrorCode code, size_t named_part, std::string_view fragment) {
    const auto model = WriteAndOpen();
    ASSERT_FALSE(model.has_value());
    EXPECT_EQ(model.error().code(), code) << model.error().ToString();
    EXPECT_EQ(model.error().file(), PartPath(named_part).string());
    EXPECT_THAT(model.error().ToString(), HasSubstr(fragment));
  }

  TemporaryDirectory directory_;
  Claims claims_[3];
};

TEST_F(SplitTest, AnyPartOpensTheWhole) {
  for (size_t opened = 0; opened < 3; ++opened) {
    const auto model = WriteAndOpen(opened);
    ASSERT_TRUE(model.has_value()) << model.error().ToString();
    ASSERT_EQ(model->parts.size(), 3u);
    ASSERT_EQ(model->tensors.size(), 3u);
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(model->parts[i].path, PartPath(i));
      EXPECT_EQ(model->tensors[i].part_index, i);
      EXPECT_EQ(model->tensors[i].tensor->name, fmt::format("w{}", i));
      EXPECT_EQ(model->tensors[i].file_offset, model->parts[i].header.data_offset);
    }
    EXPECT_EQ(model->metadata().GetString("general.architecture").value(), "llama");
    EXPECT_EQ(model->total_file_bytes(), std::filesystem::file_size(PartPath(0)) +
                                             std::filesystem::file_size(PartPath(1)) +
                                             std::filesystem::file_size(PartPath(2)));
  }
}

TEST_F(SplitTest, ModelStaysValidWhenMoved) {
  auto opened = WriteAndOpen();
  ASSERT_TRUE(opened.has_value());
  const GgufModel model = *std::move(opened);
  EXPECT_EQ(model.tensors[2].tensor, &model.parts[2].header.tensors[0]);
}

TEST_F(SplitTest, TotalOfTensorsMayBeLeftOut) {
  for (Claims& claims : claims_) claims.tensors.reset();
  EXPECT_TRUE(WriteAndOpen().has_value());
}

TEST_F(SplitTest, MissingPartIsNamed) {
  ASSERT_TRUE(WriteAndOpen().has_value());
  std::filesystem::remove(PartPath(1));
  const auto model = OpenGgufModel(PartPath(2));
  ASSERT_FALSE(model.has_value());
  EXPECT_EQ(model.error().code(), ErrorCode::kNotFound);
  EXPECT_EQ(model.error().file(), PartPath(1).string());
  EXPECT_THAT(model.error().sentence(), HasSubstr("part 2 of 3"));
}

TEST_F(SplitTest, DamagedPartIsNamed) {
  ASSERT_TRUE(WriteAndOpen().has_value());
  std::filesystem::resize_file(PartPath(1), 50);
  const auto model = OpenGgufModel(PartPath(0));
  ASSERT_FALSE(model.has_value());
  EXPECT_EQ(model.error().code(), ErrorCode::kTruncated);
  EXPECT_EQ(model.error().file(), PartPath(1).string());
}

TEST_F(SplitTest, PartOfAnotherNumberIsForeign) {
  claims_[1].no = 2;
  ExpectRefused(ErrorCode::kMismatch, 1, "its split.no is another");
}

TEST_F(SplitTest, PartOfAnotherCountIsForeign) {
  claims_[2].count = 4;
  ExpectRefused(ErrorCode::kMismatch, 2, "expected 3, found 4");
}

TEST_F(SplitTest, WholeModelInAPartsPlaceIsForeign) {
  claims_[1].no.reset();
  claims_[1].count.reset();
  ExpectRefused(ErrorCode::kNotFound, 1, "no metadata key split.count");
}

TEST_F(SplitTest, PartOfAnotherArchitectureIsForeign) {
  claims_[2].architecture = "qwen2";
  ExpectRefused(ErrorCode::kMismatch, 2, "expected llama, found qwen2");
}

TEST_F(SplitTest, SameArchitectureAgainIsFine) {
  claims_[2].architecture = "llama";
  EXPECT_TRUE(WriteAndOpen().has_value());
}

TEST_F(SplitTest, TensorInTwoPartsIsNamed) {
  claims_[2].tensor = "w0";
  ExpectRefused(ErrorCode::kMismatch, 2, "tensor w0");
}

TEST_F(SplitTest, WrongTotalOfTensorsIsNamed) {
  claims_[1].tensors = 7;
  ExpectRefused(ErrorCode::kMismatch, 1, "expected 3, found 7");
}

TEST_F(SplitTest, NameThatContradictsTheCountIsRefused) {
  for (Claims& claims : claims_) claims.count = 2;
  ExpectRefused(ErrorCode::kMismatch, 0, "-NNNNN-of-00002.gguf");
}

TEST_F(SplitTest, RenamedPartIsRefused) {
  ASSERT_TRUE(WriteAndOpen().has_value());
  for (const char* name : {"tiny.gguf", "tiny-1-of-3.gguf", "tiny-0000a-of-00003.gguf", "x"}) {
    std::filesystem::copy_file(PartPath(0), directory_ / name);
    const auto model = OpenGgufModel(directory_ / name);
    ASSERT_FALSE(model.has_value()) << name;
    EXPECT_EQ(model.error().code(), ErrorCode::kMismatch) << name;
  }
}

TEST_F(SplitTest, PartOutsideTheCountIsRefused) {
  ASSERT_TRUE(WriteAndOpen().has_value());
  std::filesystem::copy_file(PartPath(0), directory_ / "tiny-00009-of-00003.gguf");
  const auto model = OpenGgufModel(directory_ / "tiny-00009-of-00003.gguf");
  ASSERT_FALSE(model.has_value());
  EXPECT_EQ(model.error().code(), ErrorCode::kMismatch);
}

TEST_F(SplitTest, SplitIntoOnePartIsAPlainFile) {
  WritePart(directory_ / "alone.gguf",
            {.no = 0, .count = 1, .tensors = 1, .architecture = "llama", .tensor = "w"});
  const auto model = OpenGgufModel(directory_ / "alone.gguf");
  ASSERT_TRUE(model.has_value()) << model.error().ToString();
  EXPECT_EQ(model->parts.size(), 1u);
}

TEST(GgufModel, MissingFileIsNotFound) {
  const TemporaryDirectory directory;
  const auto model = OpenGgufModel(directory / "none.gguf");
  ASSERT_FALSE(model.has_value());
  EXPECT_EQ(model.error().code(), ErrorCode::kNotFound);
}

// Bytes of a tensor, wherever they lie.
std::vector<std::byte> TensorData(const GgufModel& model, const GgufModelTensor& tensor) {
  std::vector<std::byte> bytes(tensor.tensor->byte_size);
  EXPECT_TRUE(model.parts[tensor.part_index].file.ReadAt(tensor.file_offset, bytes).has_value());
  return bytes;
}

TEST(GgufModel, SharedSplitHoldsTheTensorsOfTheWhole) {
  GS_REQUIRE_TESTDATA();
  const auto models = TestDataDir() / "models";
  const std::string name = "stories3M-rot256-Q4_K_M";
  const auto whole = OpenGgufModel(models / (name + ".gguf"));
  const auto split = OpenGgufModel(models / "split" / (name + "-00002-of-00003.gguf"));
  ASSERT_TRUE(whole.has_value()) << whole.error().ToString();
  ASSERT_TRUE(split.has_value()) << split.error().ToString();
  EXPECT_EQ(split->parts.size(), 3u);
  ASSERT_EQ(split->tensors.size(), whole->tensors.size());
  for (size_t i = 0; i < whole->tensors.size(); ++i) {
    EXPECT_EQ(split->tensors[i].tensor->name, whole->tensors[i].tensor->name);
    EXPECT_EQ(TensorData(*split, split->tensors[i]), TensorData(*whole, whole->tensors[i]))
        << whole->tensors[i].tensor->name;
  }
}

}  // namespace
}  // namespace gguf_shard
