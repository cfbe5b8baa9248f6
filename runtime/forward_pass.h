// One batch of tokens through the whole model, layer by layer: every page of the weights is pinned
// once per batch.
//
//   hidden = embedding[token]
//   for each layer:
//     hidden += attention_output(attend(query, key, value of norm(hidden)))
//     hidden += feed_forward(norm(hidden))
//   logits = output(norm(hidden)), for the tokens that are asked for
//
// A token's results depend on the tokens before it only: not on the batch it came in, the number of
// threads, or the memory the weights had.
// For one thread at a time.
#pragma once

#include <cstdint>
#include <span>

#include "atlas/atlas.h"
#include "runtime/attention.h"
#include "runtime/embedding.h"
#include "runtime/feed_forward.h"
#include "runtime/kv_cache.h"
#include "runtime/paged_matmul.h"
#include "runtime/rope.h"
#include "runtime/tokenizer.h"
#include "runtime/weights.h"
#include "runtime/worker_pool.h"
#include "runtime/workspace.h"

namespace gguf_shard {

// What a pass works on; all of it outlives the pass.
struct PassResources {
  const CoreMap& map;
  const Hyperparameters& numbers;
  const Weights& weights;
  const Rope& rope;
  Atlas& atlas;
  WorkerPool& workers;
  KvCache& cache;
  Workspace& workspace;
  KernelIsa isa;
  TraceWriter* trace = nullptr;  // records what is used, when there is one
};

class ForwardPass {
 public:
  explicit ForwardPass(const PassResources& resources);

  // Evaluates up to batch_tokens tokens at positions `first_position` on. kCancelled between
  // layers when the user interrupts.
  Result<void> Run(std::span<const TokenId> tokens, uint32_t first_position);
  // workspace.logits = the logits after tokens [first_token, first_token + count) of the last Run;
  // count is at most logit_rows.
  Result<void> ComputeLogits(uint32_t first_token, uint32_t count);

 private:
  Result<void> RunLayer(uint32_t layer_index, uint32_t first_position, uint32_t token_count);
  // workspace.input = quantized norm of hidden rows [first_row, first_row + count).
  void Norm(std::span<const float> weight, uint32_t first_row, uint32_t count);
  // hidden += branch + bias (where there is one)
  void AddBranch(std::span<const float> bias, uint32_t token_count);
  void QuantizeAttended(uint32_t token_count);

  PassResources resources_;
  PagedMatMul matmul_;
  Embedding embedding_;
  Attention attention_;
  FeedForward feed_forward_;
};

}  // namespace gguf_shard
