// Metadata values convert when nothing is lost, and only then.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/bytes.h"
#include "core/gguf_writer.h"

namespace gguf_shard {
namespace {

using ::testing::ElementsAre;
using ::testing::Optional;
using enum GgufValueType;

// The header of what `add` writes.
template <typename Add>
GgufHeader Written(Add add) {
  GgufWriter writer;
  add(writer);
  const auto bytes = writer.Serialize();
  auto header = ParseGgufHeader(bytes, bytes.size());
  EXPECT_TRUE(header.has_value()) << header.error().ToString();
  return header ? *std::move(header) : GgufHeader();
}

GgufHeader OneOfEach() {
  return Written([](GgufWriter& writer) {
    writer.AddUint8("u8", 255);
    writer.AddInt8("i8", -128);
    writer.AddUint16("u16", 65535);
    writer.AddInt16("i16", -32768);
    writer.AddUint32("u32", 4294967295u);
    writer.AddInt32("i32", std::numeric_limits<int32_t>::min());
    writer.AddUint64("u64", std::numeric_limits<uint64_t>::max());
    writer.AddInt64("i64", std::numeric_limits<int64_t>::min());
    writer.AddFloat32("f32", 0.1f);
    writer.AddFloat64("f64", 0.1);
    writer.AddBool("yes", true);
    writer.AddBool("no", false);
    writer.AddString("text", "na\xC3\xAFve\n");
    writer.AddInt32s("ints", std::vector<int32_t>{-1, 0, 7});
  });
}

TEST(GgufValue, IntegersOfEveryWidthConvert) {
  const GgufHeader header = OneOfEach();
  EXPECT_THAT(header.Find("u8")->AsUint(), Optional(255u));
  EXPECT_THAT(header.Find("i8")->AsInt(), Optional(-128));
  EXPECT_THAT(header.Find("u16")->AsInt(), Optional(65535));
  EXPECT_THAT(header.Find("i16")->AsInt(), Optional(-32768));
  EXPECT_THAT(header.Find("u32")->AsUint(), Optional(4294967295u));
  EXPECT_THAT(header.Find("i32")->AsInt(), Optional(-2147483648ll));
  EXPECT_THAT(header.Find("u64")->AsUint(), Optional(18446744073709551615ull));
  EXPECT_THAT(header.Find("i64")->AsInt(), Optional(std::numeric_limits<int64_t>::min()));
}

TEST(GgufValue, IntegersOutOfRangeDoNotConvert) {
  const GgufHeader header = OneOfEach();
  EXPECT_EQ(header.Find("i8")->AsUint(), std::nullopt);
  EXPECT_EQ(header.Find("i64")->AsUint(), std::nullopt);
  EXPECT_EQ(header.Find("u64")->AsInt(), std::nullopt);
}

TEST(GgufValue, OtherTypesAreNoIntegers) {
  const GgufHeader header = OneOfEach();
  for (const char* key : {"f32", "f64", "yes", "text", "ints"}) {
    EXPECT_EQ(header.Find(key)->AsUint(), std::nullopt) << key;
    EXPECT_EQ(header.Find(key)->AsInt(), std::nullopt) << key;
  }
}

TEST(GgufValue, FloatsAndExactIntegersAreFloats) {
  const GgufHeader header = OneOfEach();
  EXPECT_THAT(header.Find("f32")->AsFloat(), Optional(static_cast<double>(0.1f)));
  EXPECT_THAT(header.Find("f64")->AsFloat(), Optional(0.1));
  EXPECT_THAT(header.Find("i32")->AsFloat(), Optional(-2147483648.0));
  EXPECT_EQ(header.Find("u64")->AsFloat(), std::nullopt);  // not exact
  EXPECT_EQ(header.Find("yes")->AsFloat(), std::nullopt);
  EXPECT_EQ(header.Find("text")->AsFloat(), std::nullopt);
}

TEST(GgufValue, BoolsAndStringsAreThemselvesAlone) {
  const GgufHeader header = OneOfEach();
  EXPECT_THAT(header.Find("yes")->AsBool(), Optional(true));
  EXPECT_THAT(header.Find("no")->AsBool(), Optional(false));
  EXPECT_EQ(header.Find("u8")->AsBool(), std::nullopt);
  EXPECT_THAT(header.Find("text")->AsString(), Optional(std::string_view("na\xC3\xAFve\n")));
  EXPECT_EQ(header.Find("ints")->AsString(), std::nullopt);
  EXPECT_FALSE(header.Find("text")->AsArray().has_value());
}

TEST(GgufValue, StringsMayHoldAnyBytes) {
  const std::string bytes("\x00\xFF\x1B[0m", 6);
  const GgufHeader header = Written([&](GgufWriter& writer) { writer.AddString("text", bytes); });
  EXPECT_EQ(header.GetString("text").value(), bytes);
}

TEST(GgufArray, DecodesAsItsOwnKind) {
  const GgufHeader header = Written([](GgufWriter& writer) {
    writer.AddStrings("strings", std::vector<std::string>{"a", "", "bc"});
    writer.AddInt32s("ints", std::vector<int32_t>{-1, 0, 7});
    writer.AddFloats("floats", std::vector<float>{0.5f, -1.0f});
    constexpr std::byte kBools[] = {std::byte{1}, std::byte{0}};
    writer.AddValue("bools", GgufValue(GgufArray{kBool, 2, kBools}));
  });
  EXPECT_THAT(*header.GetArray("strings")->Strings(), ElementsAre("a", "", "bc"));
  EXPECT_THAT(*header.GetArray("ints")->Ints(), ElementsAre(-1, 0, 7));
  EXPECT_THAT(*header.GetArray("ints")->Floats(), ElementsAre(-1.0f, 0.0f, 7.0f));
  EXPECT_THAT(*header.GetArray("floats")->Floats(), ElementsAre(0.5f, -1.0f));
  EXPECT_THAT(*header.GetArray("bools")->Ints(), ElementsAre(1, 0));
}

TEST(GgufArray, DoesNotDecodeAsAnotherKind) {
  const GgufHeader header = Written([](GgufWriter& writer) {
    writer.AddStrings("strings", std::vector<std::string>{"1"});
    writer.AddFloats("floats", std::vector<float>{1.0f});
    writer.AddFloats("no floats", std::vector<float>{});
    constexpr uint64_t kBig[] = {uint64_t{1} << 63};
    writer.AddValue("big", GgufValue(GgufArray{kUint64, 1, std::as_bytes(std::span(kBig))}));
  });
  EXPECT_EQ(header.GetArray("strings")->Ints(), std::nullopt);
  EXPECT_EQ(header.GetArray("strings")->Floats(), std::nullopt);
  EXPECT_EQ(header.GetArray("floats")->Ints(), std::nullopt);
  EXPECT_EQ(header.GetArray("no floats")->Ints(), std::nullopt);
  EXPECT_EQ(header.GetArray("floats")->Strings(), std::nullopt);
  EXPECT_EQ(header.GetArray("big")->Ints(), std::nullopt);  // out of range
}

TEST(GgufHeader, MissingKeyIsNotFoundAndNamed) {
  const GgufHeader header = OneOfEach();
  const auto missing = header.GetUint("llama.block_count");
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(missing.error().code(), ErrorCode::kNotFound);
  EXPECT_THAT(missing.error().sentence(), testing::HasSubstr("llama.block_count"));
}

TEST(GgufHeader, KeyOfAnotherTypeIsMalformedAndSaysBothTypes) {
  const GgufHeader header = OneOfEach();
  EXPECT_EQ(header.GetFloat("text").error().code(), ErrorCode::kMalformed);
  EXPECT_EQ(header.GetArray("u8").error().code(), ErrorCode::kMalformed);
  const auto wrong = header.GetString("f32");
  ASSERT_FALSE(wrong.has_value());
  EXPECT_EQ(wrong.error().code(), ErrorCode::kMalformed);
  EXPECT_EQ(wrong.error().expected(), "string");
  EXPECT_EQ(wrong.error().found(), "float32");
}

TEST(GgufValueType, ScalarSizesAndNames) {
  EXPECT_EQ(GgufScalarBytes(kBool), 1u);
  EXPECT_EQ(GgufScalarBytes(kInt16), 2u);
  EXPECT_EQ(GgufScalarBytes(kFloat32), 4u);
  EXPECT_EQ(GgufScalarBytes(kFloat64), 8u);
  EXPECT_EQ(GgufScalarBytes(kString), 0u);
  EXPECT_EQ(GgufScalarBytes(kArray), 0u);
  EXPECT_EQ(GgufValueTypeName(kInt64), "int64");
  EXPECT_EQ(GgufValueTypeName(kArray), "array");
}

TEST(TensorBytes, CountsWholeBlocks) {
  const uint64_t matrix[] = {4096, 14336};
  EXPECT_EQ(TensorBytes(TensorType::kQ4_K, matrix).value(), 4096ull * 14336 / 256 * 144);
  EXPECT_EQ(TensorBytes(TensorType::kF64, {}).value(), 8u);
  const uint64_t odd[] = {100};
  EXPECT_EQ(TensorBytes(TensorType::kQ8_0, odd).error().code(), ErrorCode::kMalformed);
}

}  // namespace
}  // namespace gguf_shard
