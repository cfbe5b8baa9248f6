// Rows of the token embedding, gathered from pages: the input of a forward pass.
// For one thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "atlas/atlas.h"
#include "core/map.h"
#include "runtime/tokenizer.h"
#include "runtime/weights.h"
#include "runtime/worker_pool.h"
#include "runtime/workspace.h"

namespace gguf_shard {

class Embedding {
 public:
  Embedding(const CoreMap& map, const Matrix& table, Atlas& atlas, WorkerPool& workers,
            uint32_t max_tokens);

  // Scratch that one worker needs for a row: its pages and its blocks.
  static uint64_t RowScratchBytes(const CoreMap& map, const Matrix& table);

  // workspace.hidden[i] = table[tokens[i]]. Tokens are below table.rows.
  Result<void> Gather(std::span<const TokenId> tokens, Workspace& workspace);

 private:
  void PlanRuns(std::span<const TokenId> tokens, Workspace& workspace);
  Result<void> GatherRow(TokenId token, std::span<std::byte> scratch, std::span<float> values);
  Result<void> CopyPages(const RowPages& pages, std::span<std::byte> target);
  // Pages are counted from the table's first page.
  uint32_t RunOf(uint64_t page) const;
  uint64_t OffsetInRun(uint32_t run_index, uint64_t page) const;

  const MapTensor& tensor_;
  Matrix table_;
  Atlas& atlas_;
  WorkerPool& workers_;
  std::vector<uint32_t> announced_runs_;  // keeps its capacity
};

}  // namespace gguf_shard
