// Rows gathered from pages are the rows of the GGUF, wherever pages and runs cut them.
#include "runtime/embedding.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <string>

#include "runtime/model.h"
#include "tests/golden/sharded_model.h"

namespace gguf_shard {
namespace {

// token_embd.weight as the GGUF has it.
Result<std::vector<float>> SourceRows(const SyntheticModel& synthetic) {
  const std::vector<std::byte> gguf = BuildSyntheticGguf(synthetic);
  GS_ASSIGN(const GgufHeader header, ParseGgufHeader(gguf, gguf.size()));
  const GgufTensor* tensor = header.FindTensor("token_embd.weight");
  if (tensor == nullptr) return Fail(ErrorCode::kNotFound, "no embedding");
  std::vector<float> rows(tensor->element_count);
  std::memcpy(rows.data(), gguf.data() + header.data_offset + tensor->data_offset,
              tensor->byte_size);
  return rows;
}

// Gathers every row, in batches.
Result<std::vector<float>> GatheredRows(const ShardedModel& sharded, uint64_t* straddling_rows) {
  constexpr uint32_t kBatch = 32;
  GS_ASSIGN(const auto model, Model::Load(sharded.map_path()));
  const Matrix& table = model->weights().embedding;
  const auto source = MakeCorePageSource(model->core());
  AtlasOptions options;
  options.concurrent_pins = 2;
  const auto schedule = ScheduleOf(model->weights());
  options.pool_bytes = Atlas::MinimumPoolBytes(model->map(), schedule, options);
  GS_ASSIGN(const auto atlas, Atlas::Open(model->map(), *source, schedule, options));
  GS_ASSIGN(const auto workers, WorkerPool::Create(2));
  WorkspaceShape shape = {.batch_tokens = kBatch, .worker_count = 2};
  shape.row_scratch_bytes = static_cast<uint32_t>(Embedding::RowScratchBytes(model->map(), table));
  GS_ASSIGN(Workspace workspace, Workspace::Create(model->hyperparameters(), shape));
  Embedding embedding(model->map(), table, *atlas, *workers, kBatch);

  std::vector<float> rows;
  for (uint32_t first = 0; first < table.rows; first += kBatch) {
    std::vector<TokenId> tokens(std::min(kBatch, table.rows - first));
    std::iota(tokens.begin(), tokens.end(), static_cast<TokenId>(first));
    GS_TRY(embedding.Gather(tokens, workspace));
    const auto gathered = workspace.hidden.first(tokens.size() * table.columns);
    rows.insert(rows.end(), gathered.begin(), gathered.end());
  }
  const TensorLayout& layout = model->map().tensors[table.weights.tensor_index].layout;
  for (uint32_t row = 0; row < table.rows; ++row) {
    const RowPages pages = GetRowPages(layout, 0, row);
    const auto run_of = [&](uint64_t page) {
      return atlas->run_table().RunOfPage(table.weights.tensor_index, 0, page);
    };
    *straddling_rows += run_of(pages.first_page) != run_of(pages.first_page + pages.page_count - 1);
  }
  return rows;
}

void ExpectSourceRows(const SyntheticModel& synthetic, bool straddles) {
  const auto sharded = ShardedModel::FromSynthetic(synthetic);
  ASSERT_TRUE(sharded) << sharded.error().ToString();
  const auto expected = SourceRows(synthetic);
  ASSERT_TRUE(expected) << expected.error().ToString();
  uint64_t straddling_rows = 0;
  const auto gathered = GatheredRows(**sharded, &straddling_rows);
  ASSERT_TRUE(gathered) << gathered.error().ToString();
  EXPECT_TRUE(*gathered == *expected);
  EXPECT_EQ(straddling_rows > 0, straddles) << "the test does not test what it means to";
}

TEST(EmbeddingTest, RowsCutByPagesAndRunsAreWhole) {
  ExpectSourceRows({.name = "wide", .width = 128}, true);
}

TEST(EmbeddingTest, RowsOfTilesAreWhole) {
  ExpectSourceRows({.name = "tied", .width = 128, .tied = true}, false);
}

}  // namespace
}  // namespace gguf_shard
