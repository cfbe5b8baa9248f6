#include "runtime/embedding.h"

#include <algorithm>
#include <cstring>

#include "core/bytes.h"
#include "kernels/dequantize.h"

namespace gguf_shard {
namespace {

// No row of the table that runs cut in two spans more pages than this. Runs are whole strips, so
// tiles are never cut.
uint64_t MaxCutRowPages(const TensorLayout& layout) {
  if (layout.layout == MemoryLayout::kColumnMajor) return 0;
  const uint64_t page_bytes =
      uint64_t{layout.blocks_per_page()} * GetTensorType(layout.type).block_bytes;
  return DivCeil(layout.row_bytes, page_bytes) + 1;  // a row starts anywhere in a page
}

}  // namespace

Embedding::Embedding(const CoreMap& map, const Matrix& table, Atlas& atlas, WorkerPool& workers,
                     uint32_t max_tokens)
    : tensor_(map.tensors[table.weights.tensor_index]),
      table_(table),
      atlas_(atlas),
      workers_(workers) {
  announced_runs_.reserve(max_tokens);
}

uint64_t Embedding::RowScratchBytes(const CoreMap& map, const Matrix& table) {
  const TensorLayout& layout = map.tensors[table.weights.tensor_index].layout;
  return AlignUp(MaxCutRowPages(layout) * kPageBytes + layout.row_bytes, 64);
}

Result<void> Embedding::Gather(std::span<const TokenId> tokens, Workspace& workspace) {
  PlanRuns(tokens, workspace);
  const size_t width = table_.columns;
  return workers_.TryForEach(tokens.size(), [&](size_t index, uint32_t worker) {
    const uint32_t row = workspace.gather[index].token_row;
    return GatherRow(tokens[row], workspace.WorkerPages(worker),
                     workspace.hidden.subspan(row * width, width));
  });
}

// Sorts the batch by run, so that each is loaded once however small the cache is, and announces
// the runs.
void Embedding::PlanRuns(std::span<const TokenId> tokens, Workspace& workspace) {
  const auto items = workspace.gather.first(tokens.size());
  for (uint32_t row = 0; row < items.size(); ++row) {
    const RowPages pages = GetRowPages(tensor_.layout, 0, static_cast<uint64_t>(tokens[row]));
    items[row] = {atlas_.run_table().RunOfPage(table_.weights.tensor_index, 0, pages.first_page),
                  row};
  }
  std::ranges::sort(items, [](const GatherItem& a, const GatherItem& b) {
    return a.run_index != b.run_index ? a.run_index < b.run_index : a.token_row < b.token_row;
  });
  announced_runs_.clear();
  for (const GatherItem& item : items) {
    if (announced_runs_.empty() || announced_runs_.back() != item.run_index) {
      announced_runs_.push_back(item.run_index);
    }
  }
  atlas_.Prefetch(announced_runs_);
}

Result<void> Embedding::GatherRow(TokenId token, std::span<std::byte> scratch,
                                  std::span<float> values) {
  const TensorLayout& layout = tensor_.layout;
  const auto row = static_cast<uint64_t>(token);
  const RowPages pages = GetRowPages(layout, 0, row);
  const auto blocks = scratch.first(layout.row_bytes);
  const uint32_t first_run = RunOf(pages.first_page);
  if (first_run == RunOf(pages.first_page + pages.page_count - 1)) {
    GS_ASSIGN(const PinnedRun pinned, atlas_.Pin(first_run));
    const std::byte* first = pinned.pages() + OffsetInRun(first_run, pages.first_page);
    CopyRow(layout, 0, row, {first, pages.page_count * kPageBytes}, blocks);
  } else {
    const auto copy = scratch.subspan(layout.row_bytes, pages.page_count * kPageBytes);
    GS_TRY(CopyPages(pages, copy));
    CopyRow(layout, 0, row, copy, blocks);
  }
  Dequantize(layout.type, blocks, values);
  return {};
}

// For a row that ends in another run: copies its pages out with one run pinned at a time. A worker
// that held two could wait for memory that its fellows hold.
Result<void> Embedding::CopyPages(const RowPages& pages, std::span<std::byte> target) {
  for (uint64_t copied = 0; copied < pages.page_count;) {
    const uint64_t page = pages.first_page + copied;
    const uint32_t run_index = RunOf(page);
    const Run& run = atlas_.run_table().run(run_index);
    const uint64_t run_end = run.first_page + run.page_count - tensor_.first_page;
    const uint64_t count = std::min(pages.page_count - copied, run_end - page);
    GS_ASSIGN(const PinnedRun pinned, atlas_.Pin(run_index));
    std::memcpy(target.data() + copied * kPageBytes, pinned.pages() + OffsetInRun(run_index, page),
                count * kPageBytes);
    copied += count;
  }
  return {};
}

uint32_t Embedding::RunOf(uint64_t page) const {
  return atlas_.run_table().RunOfPage(table_.weights.tensor_index, 0, page);
}

uint64_t Embedding::OffsetInRun(uint32_t run_index, uint64_t page) const {
  const Run& run = atlas_.run_table().run(run_index);
  return (tensor_.first_page + page - run.first_page) * kPageBytes;
}

}  // namespace gguf_shard
