// The map: exact round trip, and one refused document per check of ParseMap.
#include "core/map.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace gguf_shard {
namespace {

using nlohmann::json;

TensorLayout Layout(TensorType type, std::vector<uint64_t> shape, uint64_t slices,
                    MemoryLayout memory_layout, uint32_t tile_rows, uint32_t tile_columns) {
  return MakeTensorLayout(type, shape, slices, memory_layout, tile_rows, tile_columns).value();
}

// 1 header page, 1 + 4 + 6 tensor pages, 1 gap page, 1 index page.
CoreMap SmallMap() {
  CoreMap map;
  map.core.file = "core.gguf";
  map.core.id[0] = std::byte{0xAB};
  map.core.page_count = 14;
  map.core.data_offset = 8192;
  map.core.index = {13, 1};
  map.core.index_sha256[31] = std::byte{0x01};
  map.source = {.architecture = "llama", .name = "small \"one\"", .quantization = "Q6_K"};
  MapSourceFile file;
  file.name = "small.gguf";
  file.byte_size = 100000;
  file.header_bytes = 512;
  file.header = {0, 1};
  file.gaps.push_back({.source_offset = 99990, .byte_size = 10, .pages = {12, 1}});
  map.source.files.push_back(file);

  MapTensor norm{.name = "output_norm.weight", .shape = {64}};
  norm.layout = Layout(TensorType::kF32, norm.shape, 1, MemoryLayout::kRowMajor, 0, 0);
  norm.first_page = 1;
  norm.first_shard_id = 0;
  norm.zone = Zone::kHigh;
  norm.source_offset = 512;
  norm.source_bytes = 256;
  MapTensor matrix{.name = "blk.3.attn_q.weight", .shape = {512, 20}};
  matrix.layout = Layout(TensorType::kQ6_K, matrix.shape, 1, MemoryLayout::kColumnMajor, 19, 256);
  matrix.first_page = 2;
  matrix.first_shard_id = 1;
  matrix.layer = 3;
  matrix.source_offset = 768;
  matrix.source_bytes = 8400;
  MapTensor experts{.name = "blk.3.ffn_up_exps.weight", .shape = {256, 28, 6}};
  experts.layout = Layout(TensorType::kQ4_K, experts.shape, 6, MemoryLayout::kColumnMajor, 28, 256);
  experts.first_page = 6;
  experts.first_shard_id = 2;
  experts.source_offset = 9184;
  experts.source_bytes = 28 * 144 * 6;
  map.tensors = {norm, matrix, experts};
  return map;
}

TEST(Map, RoundTripsExactly) {
  const CoreMap map = SmallMap();
  const std::string text = SerializeMap(map);
  const auto parsed = ParseMap(text);
  ASSERT_TRUE(parsed.has_value()) << parsed.error().ToString();
  EXPECT_EQ(SerializeMap(*parsed), text);
  EXPECT_EQ(parsed->source.name, "small \"one\"");
  EXPECT_EQ(parsed->shard_count(), 8u);
  const MapTensor* experts = parsed->FindTensor("blk.3.ffn_up_exps.weight");
  ASSERT_NE(experts, nullptr);
  EXPECT_EQ(experts->layout.slice_count, 6u);
  EXPECT_EQ(experts->slice_pages(5).first_page, 11u);
  EXPECT_EQ(parsed->FindTensor("blk.3.attn_q.weight")->layer, 3u);
  EXPECT_FALSE(parsed->FindTensor("output_norm.weight")->layer.has_value());
  EXPECT_EQ(parsed->FindTensor("none"), nullptr);
}

struct Mutation {
  const char* name;
  const char* pointer;
  json value;  // discarded: remove the field
  const char* sentence;
};

class RefusedMap : public testing::TestWithParam<Mutation> {};

TEST_P(RefusedMap, NamesTheField) {
  json document = json::parse(SerializeMap(SmallMap()));
  const json::json_pointer pointer(GetParam().pointer);
  if (GetParam().value.is_discarded()) {
    document.at(pointer.parent_pointer()).erase(pointer.back());
  } else {
    document[pointer] = GetParam().value;
  }
  const auto parsed = ParseMap(document.dump());
  ASSERT_FALSE(parsed.has_value());
  EXPECT_NE(parsed.error().ToString().find(GetParam().sentence), std::string::npos)
      << parsed.error().ToString();
}

const json kRemoved(json::value_t::discarded);

INSTANTIATE_TEST_SUITE_P(
    Fields, RefusedMap,
    testing::Values(
        Mutation{"NoFormat", "/format", kRemoved, "format is missing"},
        Mutation{"OtherFormat", "/format/name", "other", "not a gguf-shard map"},
        Mutation{"OtherVersion", "/format/version", 2, "version is not supported"},
        Mutation{"CoreFileEscapes", "/core/file", "../core.gguf", "core.file is not a plain"},
        Mutation{"CoreFileEmpty", "/core/file", "", "core.file is not a plain"},
        Mutation{"ShortId", "/core/id", "abcd", "core.id is not a hexadecimal"},
        Mutation{"OtherPageSize", "/core/page_bytes", 8192, "core.page_bytes is not supported"},
        Mutation{"NegativePages", "/core/page_count", -1, "core.page_count is not an unsigned"},
        Mutation{"FloatPages", "/core/page_count", 14.5, "core.page_count is not an unsigned"},
        Mutation{"HugePages", "/core/page_count", uint64_t{1} << 60, "core.page_count is out of"},
        Mutation{"UnalignedData", "/core/data_offset", 8191, "core.data_offset is not a multiple"},
        Mutation{"IndexNotLast", "/core/index/first_page", 12, "does not cover"},
        Mutation{"IndexTooLong", "/core/index/page_count", 2, "core.index.page_count is out of"},
        Mutation{"BadIndexHash", "/core/index/sha256", "zz", "core.index.sha256 is not a hex"},
        Mutation{"NoFiles", "/source/files", json::array(), "source.files is empty"},
        Mutation{"FileNameEscapes", "/source/files/0/name", "a/b", "is not a plain file name"},
        Mutation{"HeaderTooLong", "/source/files/0/header/bytes", 100001, "is out of range"},
        Mutation{"HeaderPages", "/source/files/0/header/bytes", 5000, "header's size"},
        Mutation{"GapOutside", "/source/files/0/gaps/0/source_offset", 99995, "leaves the file"},
        Mutation{"GapInHeader", "/source/files/0/gaps/0/source_offset", 100, "overlaps"},
        Mutation{"GapPages", "/source/files/0/gaps/0/page_count", 0, "gap's size"},
        Mutation{"UnknownLayout", "/atlas/memory_layout", "diagonal", "layout is unknown"},
        Mutation{"UnknownZone", "/atlas/priority_zones/0", "top", "zone is unknown"},
        Mutation{"TooManyZones", "/atlas/priority_zones",
                 json::array({"high", "high", "high", "high"}), "too many"},
        Mutation{"UnknownType", "/shards/1/type", "Q9_K", "shards[1].type is unknown"},
        Mutation{"FiveDimensions", "/shards/1/shape", json::array({256, 1, 1, 1, 1}), "too many"},
        Mutation{"StringDimension", "/shards/1/shape/0", "512", "is not an unsigned"},
        Mutation{"OverflowingShape", "/shards/1/shape", json::array({512, uint64_t{1} << 50}),
                 "overflow"},
        Mutation{"NoTile", "/shards/1/tile", kRemoved, "shards[1].tile is missing"},
        Mutation{"TileTooTall", "/shards/1/tile/rows", 20, "does not fit a page"},
        Mutation{"TileSplitsBlocks", "/shards/1/tile/columns", 100, "whole number of blocks"},
        Mutation{"ExpertsDoNotDivide", "/shards/2/expert_count", 5, "do not divide"},
        Mutation{"WrongPageCount", "/shards/1/page_count", 5, "not what the layout needs"},
        Mutation{"PageBeyondCore", "/shards/1/first_page", 15, "first_page is out of range"},
        Mutation{"PagesOverlap", "/shards/1/first_page", 1, "overlap or leave a hole"},
        Mutation{"SourceFileUnknown", "/shards/1/source/file", 1, "source.file is out of range"},
        Mutation{"SourceBeyondFile", "/shards/1/source/offset", 99999, "is out of range"},
        Mutation{"SourceSize", "/shards/1/source/bytes", 8401, "is not the size of the tensor"},
        Mutation{"ShardIds", "/shards/1/id", 7, "shard ids do not follow"},
        Mutation{"SameNameTwice", "/shards/1/tensor", "output_norm.weight", "appears twice"},
        Mutation{"ShardZone", "/shards/1/zone", "warm", "zone is unknown"},
        Mutation{"BadDigest", "/shards/1/xxh3_128", "00", "is not a hexadecimal"},
        Mutation{"ShardIsNoObject", "/shards/1", 5, "its parent is no object"}),
    [](const auto& entry) { return std::string(entry.param.name); });

TEST(Map, TruncationAtEveryByteIsRefused) {
  const std::string text = SerializeMap(SmallMap());
  // The last two bytes are the closing brace and a newline that JSON does not need.
  for (size_t length = 0; length + 2 < text.size(); ++length) {
    ASSERT_FALSE(ParseMap(std::string_view(text).substr(0, length)).has_value()) << length;
  }
}

TEST(Map, DeepNestingIsRefusedWithoutRecursion) {
  const auto parsed = ParseMap(std::string(1 << 20, '['));
  ASSERT_FALSE(parsed.has_value());
  EXPECT_EQ(parsed.error().code(), ErrorCode::kMalformed);
  const auto deep = ParseMap("{\"format\":" + std::string(40, '[') + std::string(40, ']') + "}");
  ASSERT_FALSE(deep.has_value());
  EXPECT_NE(deep.error().sentence().find("nested too deeply"), std::string::npos);
}

TEST(Map, InvalidUtf8IsRefused) {
  std::string text = SerializeMap(SmallMap());
  text[text.find("llama")] = '\xFF';
  EXPECT_FALSE(ParseMap(text).has_value());
}

}  // namespace
}  // namespace gguf_shard
