// The second half of a layer: down(silu(gate(x)) * up(x)), with one set of matrices, or with those
// of the experts that a router chooses for each token.
//
// Experts: all tokens of the batch are routed first; tokens are then grouped by expert, so each
// chosen expert's pages are pinned once per batch. A token's experts are added in rising order of
// their number, whatever the batch, so its result does not depend on its neighbours.
// For one thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "atlas/atlas.h"
#include "runtime/hyperparameters.h"
#include "runtime/paged_matmul.h"
#include "runtime/weights.h"
#include "runtime/worker_pool.h"
#include "runtime/workspace.h"

namespace gguf_shard {

class FeedForward {
 public:
  FeedForward(const Hyperparameters& numbers, const Weights& weights, Atlas& atlas,
              PagedMatMul& matmul, WorkerPool& workers, KernelIsa isa);

  // The most tasks given to PagedMatMul at once.
  static size_t MaxTasks(const Hyperparameters& numbers, uint32_t batch_tokens);

  // workspace.branch = the layer's output for workspace.input's tokens.
  Result<void> Run(const LayerWeights& layer, Workspace& workspace);

 private:
  // Pairs (token, expert) of adjacent experts that are computed together.
  struct Chunk {
    uint32_t first_expert;
    uint32_t end_expert;
    uint32_t first_pair;
    uint32_t end_pair;
  };

  Result<void> RunDense(const DenseFeedForward& dense, Workspace& workspace);
  Result<void> RunExperts(const ExpertFeedForward& experts, Workspace& workspace);
  void Gate(const Matrix* gate, const Matrix* up, uint32_t rows, Workspace& workspace);

  Result<void> Route(const ExpertFeedForward& experts, Workspace& workspace);
  void ChooseExperts(uint32_t token, Workspace& workspace) const;
  void GroupByExpert(uint32_t token_count, Workspace& workspace) const;
  Chunk NextChunk(uint32_t first_expert, const Workspace& workspace) const;
  void Announce(const ExpertFeedForward& experts, uint32_t first_expert,
                const Workspace& workspace);
  Result<void> RunChunk(const ExpertFeedForward& experts, const Chunk& chunk, Workspace& workspace);
  void AddChunk(const Chunk& chunk, uint32_t token_count, Workspace& workspace);

  const Hyperparameters& numbers_;
  Atlas& atlas_;
  PagedMatMul& matmul_;
  WorkerPool& workers_;
  KernelIsa isa_;
  std::vector<MatMulTask> tasks_;         // keeps its capacity
  std::vector<uint32_t> announced_runs_;  // keeps its capacity
};

}  // namespace gguf_shard
