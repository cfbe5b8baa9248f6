#include "forge/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/core_file.h"
#include "tests/forge/model_builder.h"
#include "tests/support/temporary_directory.h"

namespace gguf_shard {
namespace {

using enum TensorType;

class PlanTest : public testing::Test {
 protected:
  Result<CoreMap> TryPlan(const ModelBuilder& builder, LayoutPolicy policy = LayoutPolicy::kAuto) {
    builder.Write(temporary_ / "model.gguf");
    GS_ASSIGN(const GgufModel model, OpenGgufModel(temporary_ / "model.gguf"));
    GS_ASSIGN(const std::vector<SourceGap> gaps, FindSourceGaps(model));
    PlanOptions options;
    options.layout = policy;
    return PlanCore(model, gaps, options);
  }
  CoreMap Plan(const ModelBuilder& builder, LayoutPolicy policy = LayoutPolicy::kAuto) {
    auto map = TryPlan(builder, policy);
    EXPECT_TRUE(map.has_value()) << map.error().ToString();
    return map ? *std::move(map) : CoreMap();
  }

  TemporaryDirectory temporary_;
};

ModelBuilder SmallModel() {
  ModelBuilder builder;
  builder.Tensor("output.weight", kQ6_K, {256, 64})
      .Tensor("blk.0.ffn_gate_inp.weight", kF32, {256, 4})
      .Tensor("blk.0.ffn_up_exps.weight", kQ4_K, {256, 30, 4})
      .Tensor("blk.0.attn_norm.weight", kF32, {256})
      .Tensor("blk.0.attn_q.weight", kQ4_K, {256, 256})
      .Tensor("token_embd.weight", kQ8_0, {256, 64});
  return builder;
}

MemoryLayout LayoutOf(const CoreMap& map, std::string_view name) {
  return map.FindTensor(name)->layout.layout;
}
Zone ZoneOf(const CoreMap& map, std::string_view name) { return map.FindTensor(name)->zone; }

TEST_F(PlanTest, LaysOutWhatIsMultipliedInTilesAndTheRestInRows) {
  const CoreMap map = Plan(SmallModel());
  EXPECT_EQ(LayoutOf(map, "token_embd.weight"), MemoryLayout::kRowMajor);
  EXPECT_EQ(LayoutOf(map, "blk.0.attn_norm.weight"), MemoryLayout::kRowMajor);
  EXPECT_EQ(LayoutOf(map, "blk.0.attn_q.weight"), MemoryLayout::kColumnMajor);
  EXPECT_EQ(LayoutOf(map, "blk.0.ffn_gate_inp.weight"), MemoryLayout::kColumnMajor);
  EXPECT_EQ(LayoutOf(map, "blk.0.ffn_up_exps.weight"), MemoryLayout::kColumnMajor);
  EXPECT_EQ(LayoutOf(map, "output.weight"), MemoryLayout::kColumnMajor);
}

TEST_F(PlanTest, MultipliesATiedEmbeddingAsTheOutput) {
  const CoreMap map = Plan(ModelBuilder().Tensor("token_embd.weight", kQ8_0, {256, 64}));
  EXPECT_EQ(LayoutOf(map, "token_embd.weight"), MemoryLayout::kColumnMajor);
  EXPECT_EQ(ZoneOf(map, "token_embd.weight"), Zone::kNormal);
}

TEST_F(PlanTest, KeepsTypesWithoutTilesInRows) {
  const CoreMap map = Plan(ModelBuilder().Tensor("blk.0.attn_q.weight", kIQ2_XS, {256, 8}));
  EXPECT_EQ(LayoutOf(map, "blk.0.attn_q.weight"), MemoryLayout::kRowMajor);
}

TEST_F(PlanTest, ForcesALayoutWhereItIsPossible) {
  const CoreMap rows = Plan(SmallModel(), LayoutPolicy::kRowMajor);
  for (const MapTensor& tensor : rows.tensors) {
    EXPECT_EQ(tensor.layout.layout, MemoryLayout::kRowMajor) << tensor.name;
  }
  EXPECT_EQ(rows.atlas.memory_layout, MemoryLayout::kRowMajor);

  const CoreMap columns = Plan(SmallModel(), LayoutPolicy::kColumnMajor);
  EXPECT_EQ(LayoutOf(columns, "token_embd.weight"), MemoryLayout::kColumnMajor);
  EXPECT_EQ(LayoutOf(columns, "blk.0.attn_norm.weight"), MemoryLayout::kRowMajor);
}

TEST_F(PlanTest, KeepsAMatrixWithOversizedStripsInRows) {
  // A strip of F32 tiles takes a page per 16 columns at least: 32 MiB is reached near 2^17.
  const auto layout = [this](uint64_t columns) {
    return LayoutOf(Plan(ModelBuilder().Tensor("blk.0.attn_q.weight", kF32, {columns, 2})),
                    "blk.0.attn_q.weight");
  };
  EXPECT_EQ(layout(1000), MemoryLayout::kColumnMajor);
  EXPECT_EQ(layout(4'000'000), MemoryLayout::kRowMajor);
}

TEST_F(PlanTest, AssignsZonesByUse) {
  const CoreMap map = Plan(SmallModel());
  EXPECT_EQ(ZoneOf(map, "token_embd.weight"), Zone::kCold);
  EXPECT_EQ(ZoneOf(map, "blk.0.attn_norm.weight"), Zone::kHigh);
  EXPECT_EQ(ZoneOf(map, "blk.0.ffn_gate_inp.weight"), Zone::kHigh);
  EXPECT_EQ(ZoneOf(map, "blk.0.attn_q.weight"), Zone::kNormal);
  EXPECT_EQ(ZoneOf(map, "blk.0.ffn_up_exps.weight"), Zone::kNormal);
  EXPECT_EQ(ZoneOf(map, "output.weight"), Zone::kNormal);
}

TEST_F(PlanTest, MakesEveryExpertAShardOfItsOwn) {
  const CoreMap map = Plan(SmallModel());
  const MapTensor& experts = *map.FindTensor("blk.0.ffn_up_exps.weight");
  EXPECT_EQ(experts.layout.slice_count, 4u);
  EXPECT_EQ(experts.layout.page_count, 4 * experts.layout.pages_per_slice);
  EXPECT_EQ(map.tensors.back().name, "output.weight");
  EXPECT_EQ(map.tensors.back().first_shard_id, experts.first_shard_id + 4);
  EXPECT_EQ(map.shard_count(), 9u);
}

TEST_F(PlanTest, PutsHeaderTensorsGapsAndIndexOneBehindTheOther) {
  const CoreMap map = Plan(SmallModel().Trailing(10000));
  const MapSourceFile& file = map.source.files.front();
  EXPECT_EQ(file.header.first_page, 0u);
  uint64_t next_page = file.header.end_page();
  for (const MapTensor& tensor : map.tensors) {
    EXPECT_EQ(tensor.first_page, next_page) << tensor.name;
    next_page += tensor.layout.page_count;
  }
  ASSERT_EQ(file.gaps.size(), 1u);
  EXPECT_EQ(file.gaps[0].byte_size, 10000u);
  EXPECT_EQ(file.gaps[0].pages.first_page, next_page);
  EXPECT_EQ(file.gaps[0].pages.page_count, 3u);
  EXPECT_EQ(map.core.index.first_page, next_page + 3);
  EXPECT_EQ(map.core.index.page_count, 1u);
  EXPECT_EQ(map.core.page_count, next_page + 4);
}

TEST_F(PlanTest, NeedsNoPagesForZeroPaddingAndEmptyTensors) {
  const CoreMap map = Plan(ModelBuilder(4096)
                               .Tensor("a", kF32, {3})
                               .Tensor("blk.0.ffn_up_exps.weight", kQ4_K, {256, 4, 0})
                               .Tensor("empty", kF32, {0})
                               .Trailing(100, false));
  EXPECT_TRUE(map.source.files.front().gaps.empty());
  EXPECT_EQ(map.FindTensor("empty")->layout.page_count, 0u);
  EXPECT_EQ(map.FindTensor("blk.0.ffn_up_exps.weight")->layout.page_count, 0u);
  EXPECT_TRUE(ParseMap(SerializeMap(map)).has_value());
}

TEST_F(PlanTest, NamesTheTypeOfMostWeights) {
  EXPECT_EQ(Plan(SmallModel()).source.quantization, "Q4_K");
  EXPECT_EQ(Plan(ModelBuilder()).source.quantization, "none");
}

TEST_F(PlanTest, CutsLongLabelsBetweenCharacters) {
  ModelBuilder builder;
  std::string name = "x";
  for (int i = 0; i < 200; ++i) name += "\u00e9";  // two bytes each
  builder.metadata().AddString("general.author", name);
  GgufWriter writer;
  writer.AddString("general.name", name);
  WriteBytes(temporary_ / "long.gguf", writer.Serialize());
  const auto model = OpenGgufModel(temporary_ / "long.gguf");
  ASSERT_TRUE(model.has_value());
  const auto map = PlanCore(*model, {}, PlanOptions{});
  ASSERT_TRUE(map.has_value());
  EXPECT_EQ(map->source.name, name.substr(0, 255));
  EXPECT_EQ(map->source.architecture, "");
}

TEST_F(PlanTest, RefusesACoreAndReservedNames) {
  const auto reserved = TryPlan(ModelBuilder().Tensor("gguf_shard.index", kF32, {4}));
  ASSERT_FALSE(reserved.has_value());
  EXPECT_EQ(reserved.error().code(), ErrorCode::kUnsupported);
  EXPECT_EQ(reserved.error().tensor(), "gguf_shard.index");

  WriteBytes(temporary_ / "core.gguf", SerializeCoreHeader(Plan(ModelBuilder())));
  GgufWriter writer;
  writer.AddString("general.architecture", kCoreArchitecture);
  WriteBytes(temporary_ / "core.gguf", writer.Serialize());
  const auto model = OpenGgufModel(temporary_ / "core.gguf");
  ASSERT_TRUE(model.has_value());
  const auto core = PlanCore(*model, {}, PlanOptions{});
  ASSERT_FALSE(core.has_value());
  EXPECT_EQ(core.error().code(), ErrorCode::kUnsupported);
}

TEST(LayoutPolicy, IsReadFromItsName) {
  EXPECT_EQ(*LayoutPolicyFromName("auto"), LayoutPolicy::kAuto);
  EXPECT_EQ(*LayoutPolicyFromName("column_major"), LayoutPolicy::kColumnMajor);
  EXPECT_EQ(*LayoutPolicyFromName("row_major"), LayoutPolicy::kRowMajor);
  EXPECT_EQ(LayoutPolicyFromName("diagonal").error().found(), "diagonal");
}

}  // namespace
}  // namespace gguf_shard
