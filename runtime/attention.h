// One layer's attention over the key/value cache: query heads share key/value heads in groups, and
// a position sees itself and those before it. Several tokens and heads are computed together, so
// that cached rows are read and converted once for all of them; the result of each is its own
// (kernels/vector_ops.h), so it depends neither on threads nor on how tokens are batched.
// For one thread at a time.
#pragma once

#include <cstdint>

#include "runtime/hyperparameters.h"
#include "runtime/kv_cache.h"
#include "runtime/rope.h"
#include "runtime/weights.h"
#include "runtime/worker_pool.h"
#include "runtime/workspace.h"

namespace gguf_shard {

class Attention {
 public:
  Attention(const Hyperparameters& numbers, const Rope& rope, KvCache& cache, WorkerPool& workers,
            KernelIsa isa);

  // Adds biases to workspace.query, key and value, norms and rotates their heads, and stores keys
  // and values for positions `first_position` on.
  void Store(const LayerWeights& layer, uint32_t layer_index, uint32_t first_position,
             uint32_t token_count, Workspace& workspace);
  // workspace.attended from workspace.query and everything stored up to each token.
  void Attend(uint32_t layer_index, uint32_t first_position, uint32_t token_count,
              Workspace& workspace);

 private:
  // Tokens, and query heads that share a key/value head: what one worker computes at a time.
  struct Part {
    uint32_t first_token;
    uint32_t token_count;
    uint32_t kv_head;
    uint32_t first_head;
    uint32_t head_count;
  };
  void PrepareHeads(float* heads, uint32_t head_count, std::span<const float> norm,
                    std::span<const float> turns) const;
  void StoreToken(const LayerWeights& layer, uint32_t layer_index, uint32_t position,
                  uint32_t token, Workspace& workspace);
  void AttendPart(uint32_t layer_index, uint32_t first_position, const Part& part,
                  std::span<float> scratch, Workspace& workspace) const;

  const Hyperparameters& numbers_;
  const Rope& rope_;
  KvCache& cache_;
  WorkerPool& workers_;
  KernelIsa isa_;
  float scale_;
};

}  // namespace gguf_shard
