// Every buffer of a forward pass, sized for a batch and allocated once: the token loop allocates
// nothing.
//
// Rows are tokens of the batch, in order. `pairs` are (token, expert) choices sorted by expert; a
// pass works on at most pair_rows of them at a time. A dense feed-forward layer uses the same
// buffers with one pair per token.
//
// Thread-safety: none; the forward pass hands disjoint parts to its workers.
#pragma once

#include <cstdint>
#include <span>

#include "core/error.h"
#include "kernels/activations.h"
#include "runtime/hyperparameters.h"
#include "runtime/memory_block.h"

namespace gguf_shard {

struct WorkspaceShape {
  uint32_t batch_tokens = 1;
  uint32_t logit_rows = 1;  // positions whose logits are computed at once
  uint32_t worker_count = 1;
  uint32_t context_length = 1;
  uint32_t vocab_size = 1;
  uint32_t row_scratch_bytes = 0;  // of each worker: an embedding row's pages
};

// What a batch member looks like to a gather: which run its row starts in.
struct GatherItem {
  uint32_t run_index;
  uint32_t token_row;
};

struct Workspace {
  // Bytes that Create would allocate.
  static uint64_t Bytes(const Hyperparameters& numbers, const WorkspaceShape& shape);
  static Result<Workspace> Create(const Hyperparameters& numbers, const WorkspaceShape& shape);

  WorkspaceShape shape;
  uint32_t pair_rows = 0;

  std::span<float> hidden;         // [batch][embedding]: the residual stream
  std::span<float> branch;         // [batch][embedding]: what a block adds to it
  std::span<float> query;          // [batch][query width]
  std::span<float> key;            // [batch][key width]
  std::span<float> value;          // [batch][value width]
  std::span<float> attended;       // [batch][attention width]
  std::span<float> gate;           // [pair_rows][feed-forward]
  std::span<float> up;             // [pair_rows][feed-forward]
  std::span<float> router;         // [batch][experts]
  std::span<float> expert_output;  // [pair_rows][embedding]; none in a dense model
  std::span<float> logits;         // [logit_rows][vocab]
  std::span<float> turns;          // [batch][rotary dimensions]: cosines and sines
  std::span<float> worker_row;     // [worker][widest row]: a normed or gated row
  std::span<float> attention;      // [worker]: scratch of the attention kernel
  std::span<std::byte> row_pages;  // [worker][row_scratch_bytes]
  std::span<uint32_t> identity;    // 0, 1, 2, ...: "all rows" for MatMul

  std::span<uint32_t> chosen;        // [batch][used]: experts of each token, rising
  std::span<float> chosen_weight;    // [batch][used]
  std::span<uint32_t> chosen_pair;   // [batch][used]: index of the pair
  std::span<uint32_t> pair_token;    // [batch * used]: sorted by expert, then token
  std::span<uint32_t> expert_begin;  // [experts + 1]: first pair of each expert
  std::span<GatherItem> gather;      // [batch]

  ActivationBatch input;  // [batch]: what a block's first matrices read
  ActivationBatch inner;  // [max(batch, pair_rows)]: what its last matrix reads

  std::span<float> WorkerRow(uint32_t worker) const {
    const size_t width = worker_row.size() / shape.worker_count;
    return worker_row.subspan(worker * width, width);
  }
  std::span<float> WorkerAttention(uint32_t worker) const {
    const size_t count = attention.size() / shape.worker_count;
    return attention.subspan(worker * count, count);
  }
  std::span<std::byte> WorkerPages(uint32_t worker) const {
    return row_pages.subspan(size_t{worker} * shape.row_scratch_bytes, shape.row_scratch_bytes);
  }

 private:
  class Layout;
  void Place(const Hyperparameters& numbers, Layout& layout);

  MemoryBlock memory_;
};

}  // namespace gguf_shard
