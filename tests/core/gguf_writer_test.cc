// What is written is read back the same: random metadata of every type, and tensors.
#include "core/gguf_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "core/bytes.h"

namespace gguf_shard {
namespace {

using ::testing::ElementsAre;

GgufHeader ParseOrFail(std::span<const std::byte> bytes, uint64_t file_bytes) {
  auto header = ParseGgufHeader(bytes, file_bytes);
  EXPECT_TRUE(header.has_value()) << header.error().ToString();
  return header ? *std::move(header) : GgufHeader();
}

TEST(GgufWriter, EmptyHeaderIsOneAlignedPreamble) {
  const auto bytes = GgufWriter().Serialize();
  EXPECT_EQ(bytes.size(), 32u);
  const GgufHeader header = ParseOrFail(bytes, bytes.size());
  EXPECT_EQ(header.version, 3u);
  EXPECT_EQ(header.data_offset, 32u);
  EXPECT_TRUE(header.metadata.empty());
}

TEST(GgufWriter, BytesAreThoseOfTheFormat) {
  GgufWriter writer;
  writer.AddUint16("k", 0x0102);
  const uint64_t shape[] = {32};
  writer.AddTensor("t", TensorType::kQ4_0, shape, 0);
  const auto bytes = writer.Serialize();
  std::string expected = "GGUF";
  expected += std::string("\3\0\0\0", 4);                        // version
  expected += std::string("\1\0\0\0\0\0\0\0", 8);                // tensors
  expected += std::string("\1\0\0\0\0\0\0\0", 8);                // metadata
  expected += std::string("\1\0\0\0\0\0\0\0k\2\0\0\0\2\1", 15);  // key, uint16, value
  expected += std::string("\1\0\0\0\0\0\0\0t\1\0\0\0", 13);      // name, dimensions
  expected += std::string("\40\0\0\0\0\0\0\0", 8);               // 32 columns
  expected += std::string("\2\0\0\0\0\0\0\0\0\0\0\0", 12);       // Q4_0, offset
  expected.resize(96);
  EXPECT_EQ(AsText(bytes), expected);
}

TEST(GgufWriter, AlignmentIsKeptInTheFileAndPadsTheHeader) {
  GgufWriter writer(4096);
  const uint64_t shape[] = {4096};
  writer.AddTensor("a", TensorType::kI8, shape, 0);
  writer.AddTensor("b", TensorType::kI8, shape, 4096);
  const auto bytes = writer.Serialize();
  EXPECT_EQ(bytes.size(), 4096u);
  const GgufHeader header = ParseOrFail(bytes, bytes.size() + 8192);
  EXPECT_EQ(header.alignment, 4096u);
  EXPECT_EQ(header.GetUint(kGgufAlignmentKey).value(), 4096u);
  EXPECT_EQ(header.FindTensor("b")->data_offset, 4096u);
}

TEST(GgufWriter, TensorsOfEveryDimensionCountComeBack) {
  GgufWriter writer;
  const std::vector<uint64_t> shape = {32, 2, 3, 5};
  for (size_t dimensions = 0; dimensions <= 4; ++dimensions) {
    writer.AddTensor("t" + std::to_string(dimensions), TensorType::kF16,
                     std::span(shape).first(dimensions), dimensions * 4096);
  }
  const auto bytes = writer.Serialize();
  const GgufHeader header = ParseOrFail(bytes, bytes.size() + 5 * 4096);
  ASSERT_EQ(header.tensors.size(), 5u);
  for (size_t dimensions = 0; dimensions <= 4; ++dimensions) {
    EXPECT_EQ(header.tensors[dimensions].shape,
              std::vector<uint64_t>(shape.begin(), shape.begin() + dimensions));
  }
  EXPECT_EQ(header.tensors[4].byte_size, 960u * 2);
}

// One random entry: what was written, to be held against what is read.
struct Entry {
  std::string key;
  GgufValueType type;
  GgufValueType element_type;
  uint64_t count = 0;
  std::string bytes;  // encoded
};

class RandomMetadata {
 public:
  explicit RandomMetadata(uint32_t seed) : random_(seed) {}

  std::vector<Entry> Make() {
    std::vector<Entry> entries;
    const size_t count = random_() % 40;
    for (size_t i = 0; i < count; ++i) entries.push_back(MakeEntry(i));
    return entries;
  }

 private:
  std::string RandomBytes(size_t count) {
    std::string bytes;
    for (size_t i = 0; i < count; ++i) bytes += static_cast<char>(random_());
    return bytes;
  }
  GgufValueType RandomType() { return static_cast<GgufValueType>(random_() % 13); }

  std::string RandomElement(GgufValueType type) {
    if (type == GgufValueType::kBool) return std::string(1, static_cast<char>(random_() % 2));
    if (type != GgufValueType::kString) return RandomBytes(GgufScalarBytes(type));
    const std::string text = RandomBytes(random_() % 30);
    const uint64_t size_bytes = text.size();
    return std::string(reinterpret_cast<const char*>(&size_bytes), sizeof size_bytes) + text;
  }

  Entry MakeEntry(size_t index) {
    Entry entry{.key = "key." + std::to_string(index),
                .type = RandomType(),
                .element_type = {},
                .bytes = {}};
    if (entry.type == GgufValueType::kString) {
      entry.bytes = RandomBytes(random_() % 100);
    } else if (entry.type != GgufValueType::kArray) {
      entry.bytes = RandomElement(entry.type);
    } else {
      do entry.element_type = RandomType();
      while (entry.element_type == GgufValueType::kArray);
      entry.count = random_() % 20;
      for (uint64_t i = 0; i < entry.count; ++i) entry.bytes += RandomElement(entry.element_type);
    }
    return entry;
  }

  std::mt19937 random_;
};

GgufValue ToValue(const Entry& entry) {
  if (entry.type == GgufValueType::kArray) {
    return GgufValue(GgufArray{entry.element_type, entry.count, AsBytes(entry.bytes)});
  }
  return GgufValue(entry.type, AsBytes(entry.bytes));
}

TEST(GgufWriter, RandomMetadataComesBackUnchanged) {
  for (uint32_t seed = 0; seed < 500; ++seed) {
    SCOPED_TRACE(seed);
    const auto entries = RandomMetadata(seed).Make();
    GgufWriter writer;
    for (const Entry& entry : entries) writer.AddValue(entry.key, ToValue(entry));
    const auto bytes = writer.Serialize();
    const GgufHeader header = ParseOrFail(bytes, bytes.size());

    ASSERT_EQ(header.metadata.size(), entries.size());
    for (size_t i = 0; i < entries.size(); ++i) {
      const auto& [key, value] = header.metadata[i];
      EXPECT_EQ(key, entries[i].key);
      EXPECT_EQ(value.type(), entries[i].type);
      EXPECT_EQ(AsText(value.bytes()), entries[i].bytes);
      EXPECT_EQ(header.Find(entries[i].key), &value);
      if (const auto array = value.AsArray()) {
        EXPECT_EQ(array->element_type, entries[i].element_type);
        EXPECT_EQ(array->count, entries[i].count);
      }
    }
  }
}

TEST(GgufWriter, CopyOfAParsedHeaderIsTheSameBytes) {
  for (uint32_t seed = 1000; seed < 1100; ++seed) {
    GgufWriter writer;
    for (const Entry& entry : RandomMetadata(seed).Make()) {
      writer.AddValue(entry.key, ToValue(entry));
    }
    const auto bytes = writer.Serialize();
    const GgufHeader header = ParseOrFail(bytes, bytes.size());
    GgufWriter copy;
    for (const auto& [key, value] : header.metadata) copy.AddValue(key, value);
    EXPECT_EQ(copy.Serialize(), bytes) << seed;
  }
}

}  // namespace
}  // namespace gguf_shard
