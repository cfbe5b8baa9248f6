#include "runtime/embedding.h"

#include <algorithm>
#include <cstring>

#include "core/bytes.h"
#include "core/check.h"
#include "kernels/dequantize.h"

namespace gguf_shard {
namespace {

// No row of the table spans more pages than this.
uint64_t MaxRowPages(const TensorLayout& layout) {
  if (layout.layout == MemoryLayout::kColumnMajor) return layout.pages_per_strip();
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
  return AlignUp(MaxRowPages(layout) * kPageBytes + layout.row_bytes, 64);
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

// Copies the row's pages out, one pinned run at a time: a row may end in the next run, and a
// worker that held two could wait for memory that its fellows hold.
Result<void> Embedding::GatherRow(TokenId token, std::span<std::byte> scratch,
                                  std::span<float> values) {
  const TensorLayout& layout = tensor_.layout;
  const auto row = static_cast<uint64_t>(token);
  const RowPages pages = GetRowPages(layout, 0, row);
  const size_t page_bytes = pages.page_count * kPageBytes;
  GS_CHECK(page_bytes + layout.row_bytes <= scratch.size());
  for (uint64_t copied = 0; copied < pages.page_count;) {
    const uint64_t page = pages.first_page + copied;
    const uint32_t run_index = atlas_.run_table().RunOfPage(table_.weights.tensor_index, 0, page);
    const Run& run = atlas_.run_table().run(run_index);
    const uint64_t page_in_run = tensor_.first_page + page - run.first_page;
    const uint64_t count = std::min(pages.page_count - copied, run.page_count - page_in_run);
    GS_ASSIGN(const PinnedRun pinned, atlas_.Pin(run_index));
    std::memcpy(scratch.data() + copied * kPageBytes, pinned.pages() + page_in_run * kPageBytes,
                count * kPageBytes);
    copied += count;
  }
  const auto blocks = scratch.subspan(page_bytes, layout.row_bytes);
  CopyRow(layout, 0, row, scratch.first(page_bytes), blocks);
  Dequantize(layout.type, blocks, values);
  return {};
}

}  // namespace gguf_shard
