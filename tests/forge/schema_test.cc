// The published schema describes the maps that sharding writes, and refuses what they never are.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/file.h"
#include "core/tensor_type.h"
#include "forge/shard.h"
#include "tests/forge/model_builder.h"
#include "tests/support/json_file.h"
#include "tests/support/json_schema.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/testdata.h"

namespace gguf_shard {
namespace {

constexpr const char* kSchemaName = "sgmap.schema.json";

nlohmann::json Schema() {
  return ReadJson(std::filesystem::path(GS_SOURCE_DIR) / "schemas" / kSchemaName);
}

TEST(MapSchema, ListsEveryTensorType) {
  std::vector<std::string> names;
  for (const TensorTypeInfo& info : AllTensorTypes()) names.emplace_back(info.name);
  EXPECT_EQ(Schema()["properties"]["shards"]["items"]["properties"]["type"]["enum"], names);
}

class MapSchemaValidation : public testing::Test {
 protected:
  void SetUp() override {
    const SchemaVerdict verdict = CheckAgainstSchema({}, kSchemaName, temporary_.path());
    if (verdict.skipped) GTEST_SKIP() << verdict.complaint;
  }

  // Empty when the document fits the schema, else what does not.
  std::string Complaint(const nlohmann::json& document) {
    return CheckAgainstSchema(document, kSchemaName, temporary_.path()).complaint;
  }

  nlohmann::json MapOf(const std::filesystem::path& model) {
    ShardOptions options;
    options.output_directory = temporary_ / "out";
    options.overwrite = Overwrite::kAllow;
    NoProgress progress;
    const auto report = ShardModel(model, options, progress);
    EXPECT_TRUE(report.has_value());
    return ReadJson(temporary_ / "out" / "core.sgmap");
  }

  TemporaryDirectory temporary_;
};

TEST_F(MapSchemaValidation, AcceptsTheMapsOfRealAndOddModels) {
  EXPECT_EQ(Complaint(MapOf(InTreeDataDir() / "tale-Q4_K_M.gguf")), "");
  ModelBuilder()
      .Tensor("scalar", TensorType::kF32, {})
      .Tensor("empty", TensorType::kQ4_K, {256, 0})
      .Tensor("blk.0.ffn_up_exps.weight", TensorType::kQ4_K, {256, 3, 4})
      .DirtyGaps()
      .Trailing(100)
      .Write(temporary_ / "odd.gguf");
  EXPECT_EQ(Complaint(MapOf(temporary_ / "odd.gguf")), "");
  if (TestDataDir().empty()) return;
  const auto split = TestDataDir() / "models" / "split";
  for (const auto& entry : std::filesystem::directory_iterator(split)) {
    EXPECT_EQ(Complaint(MapOf(entry.path())), "");
  }
}

TEST_F(MapSchemaValidation, RefusesWhatAMapNeverIs) {
  const nlohmann::json good = MapOf(InTreeDataDir() / "tale-Q4_K_M.gguf");
  const auto refused = [&](const char* pointer, const nlohmann::json& value) {
    nlohmann::json bad = good;
    bad[nlohmann::json::json_pointer(pointer)] = value;
    return !Complaint(bad).empty();
  };
  EXPECT_TRUE(refused("/format/version", 2));
  EXPECT_TRUE(refused("/core/page_bytes", 8192));
  EXPECT_TRUE(refused("/core/data_offset", 4097));
  EXPECT_TRUE(refused("/core/id", "xyz"));
  EXPECT_TRUE(refused("/core/file", "../core.gguf"));
  EXPECT_TRUE(refused("/source/files", nlohmann::json::array()));
  EXPECT_TRUE(refused("/shards/0/zone", "warm"));
  EXPECT_TRUE(refused("/shards/0/type", "Q4_2"));
  EXPECT_TRUE(refused("/shards/0/first_page", -1));
  EXPECT_TRUE(refused("/shards/0/tile", {{"rows", 28}, {"columns", 256}}));  // it is row_major
  EXPECT_TRUE(refused("/shards/0/surprise", 1));
  nlohmann::json without_tile = good;
  ASSERT_EQ(without_tile["shards"][2]["layout"], "column_major");
  without_tile["shards"][2].erase("tile");
  EXPECT_NE(Complaint(without_tile), "");
}

}  // namespace
}  // namespace gguf_shard
