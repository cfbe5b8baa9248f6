// Eight equal experts, two of them used, are one dense layer: the model with copies must give the
// logits of the dense model made of its first experts.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "core/bytes.h"
#include "core/gguf_model.h"
#include "core/gguf_writer.h"
#include "tests/golden/golden_file.h"
#include "tests/golden/sharded_model.h"
#include "tests/support/testdata.h"

namespace gguf_shard {
namespace {

constexpr std::string_view kExpertsMark = "_exps";

// The model in `source` with every tensor of experts replaced by its first expert.
Result<void> WriteFirstExperts(const std::filesystem::path& source,
                               const std::filesystem::path& target) {
  GS_ASSIGN(const GgufModel model, OpenGgufModel(source));
  GgufWriter writer;
  for (const auto& [key, value] : model.metadata().metadata) {
    if (key.find(".expert_") == std::string_view::npos) writer.AddValue(key, value);
  }
  std::vector<std::byte> data;
  for (const GgufModelTensor& each : model.tensors) {
    std::string name = each.tensor->name;
    if (name.find("ffn_gate_inp") != std::string::npos) continue;
    std::vector<uint64_t> shape = each.tensor->shape;
    uint64_t byte_size = each.tensor->byte_size;
    if (const size_t mark = name.find(kExpertsMark); mark != std::string::npos) {
      name.erase(mark, kExpertsMark.size());
      byte_size /= shape.back();
      shape.pop_back();
    }
    writer.AddTensor(name, each.tensor->type, shape, data.size());
    const size_t at = data.size();
    data.resize(at + AlignUp(byte_size, kDefaultGgufAlignment));
    GS_TRY(model.parts[each.part_index].file.ReadAt(each.file_offset,
                                                    std::span(data).subspan(at, byte_size)));
  }
  std::vector<std::byte> gguf = writer.Serialize();
  gguf.insert(gguf.end(), data.begin(), data.end());
  return WriteWholeFile(target, AsText(gguf), Overwrite::kAllow);
}

Result<std::vector<float>> LogitsOf(const std::filesystem::path& gguf,
                                    std::span<const TokenId> tokens) {
  GS_ASSIGN(const auto sharded, ShardedModel::FromFile(gguf));
  GS_ASSIGN(const auto engine, sharded->Open(ExactOptions()));
  return AllLogits(*engine, tokens);
}

TEST(ExpertCopiesTest, EqualExpertsGiveTheDenseModelsLogits) {
  GS_REQUIRE_TESTDATA();
  const std::string name = "stories3M-rot256-moe8x2-copies-Q4_K_M";
  const auto source = TestDataDir() / "models" / (name + ".gguf");
  const auto tokens =
      ReadGoldenFile(TestDataDir() / "golden" / (name + ".json")).cases.back().tokens;
  const TemporaryDirectory directory;
  const auto written = WriteFirstExperts(source, directory / "dense.gguf");
  ASSERT_TRUE(written) << written.error().ToString();
  const auto dense = LogitsOf(directory / "dense.gguf", tokens);
  ASSERT_TRUE(dense) << dense.error().ToString();
  const auto experts = LogitsOf(source, tokens);
  ASSERT_TRUE(experts) << experts.error().ToString();
  ASSERT_EQ(dense->size(), experts->size());
  // w * y + (1 - w) * y is y but for the last bits, which later layers quantize again.
  double sum = 0;
  for (size_t index = 0; index < dense->size(); ++index) {
    sum += std::abs((*dense)[index] - (*experts)[index]);
  }
  EXPECT_LE(sum / static_cast<double>(dense->size()), 1e-3);
}

}  // namespace
}  // namespace gguf_shard
