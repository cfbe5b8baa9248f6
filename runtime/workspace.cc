#include "runtime/workspace.h"

#include <algorithm>
#include <new>
#include <numeric>

#include "core/bytes.h"
#include "kernels/vector_ops.h"

namespace gguf_shard {
namespace {

constexpr uint64_t kAlignment = 64;  // a cache line, and the widest vector

uint32_t UsedExperts(const Hyperparameters& numbers) {
  return std::max(1u, numbers.expert_used_count);
}

// All pairs of one expert fit (a token chooses an expert once), and all pairs of one token.
uint32_t PairRows(const Hyperparameters& numbers, uint32_t batch_tokens) {
  return std::max(batch_tokens, UsedExperts(numbers));
}

uint32_t WidestInnerInput(const Hyperparameters& numbers) {
  return std::max(numbers.attention_width(), numbers.inner_width());
}

}  // namespace

// Deals out parts of a block one after another; with no block it only adds up their sizes.
class Workspace::Layout {
 public:
  explicit Layout(std::byte* block) : block_(block) {}

  template <typename T>
  void Take(std::span<T>& part, uint64_t count) {
    if (block_ != nullptr) part = {reinterpret_cast<T*>(block_ + used_bytes_), count};
    used_bytes_ += AlignUp(count * sizeof(T), kAlignment);
  }

  uint64_t used_bytes() const { return used_bytes_; }

 private:
  std::byte* block_;
  uint64_t used_bytes_ = 0;
};

void Workspace::Place(const Hyperparameters& numbers, Layout& layout) {
  const uint64_t batch = shape.batch_tokens;
  const uint64_t workers = shape.worker_count;
  const uint64_t pairs = PairRows(numbers, shape.batch_tokens);
  const uint64_t inner_width = numbers.inner_width();
  layout.Take(hidden, batch * numbers.embedding_length);
  layout.Take(branch, batch * numbers.embedding_length);
  layout.Take(query, batch * numbers.query_width());
  layout.Take(key, batch * numbers.key_width());
  layout.Take(value, batch * numbers.value_width());
  layout.Take(attended, batch * numbers.attention_width());
  layout.Take(gate, pairs * inner_width);
  layout.Take(up, pairs * inner_width);
  layout.Take(router, batch * numbers.expert_count);
  layout.Take(expert_output, numbers.expert_count > 0 ? pairs * numbers.embedding_length : 0);
  layout.Take(logits, uint64_t{shape.logit_rows} * shape.vocab_size);
  layout.Take(turns, batch * numbers.rope.dimensions);
  layout.Take(worker_row, workers * std::max<uint64_t>(numbers.embedding_length, inner_width));
  layout.Take(attention, workers * AttendScratchFloats(numbers.key_length, numbers.value_length));
  layout.Take(row_pages, workers * shape.row_scratch_bytes);
  layout.Take(identity, std::max<uint64_t>(pairs, shape.logit_rows));
  const uint64_t choices = batch * numbers.expert_used_count;
  layout.Take(chosen, choices);
  layout.Take(chosen_weight, choices);
  layout.Take(chosen_pair, choices);
  layout.Take(pair_token, choices);
  layout.Take(expert_begin, uint64_t{numbers.expert_count} + 1);
  layout.Take(gather, batch);
}

uint64_t Workspace::Bytes(const Hyperparameters& numbers, const WorkspaceShape& shape) {
  Workspace measured;
  measured.shape = shape;
  Layout layout(nullptr);
  measured.Place(numbers, layout);
  const uint32_t pairs = PairRows(numbers, shape.batch_tokens);
  return AlignUp(layout.used_bytes(), 4096) +
         ActivationBatch::ReserveBytes(std::max(shape.batch_tokens, shape.logit_rows),
                                       numbers.embedding_length) +
         ActivationBatch::ReserveBytes(pairs, WidestInnerInput(numbers));
}

Result<Workspace> Workspace::Create(const Hyperparameters& numbers, const WorkspaceShape& shape) {
  Workspace workspace;
  workspace.shape = shape;
  workspace.pair_rows = PairRows(numbers, shape.batch_tokens);
  Layout measure(nullptr);
  workspace.Place(numbers, measure);
  GS_ASSIGN(workspace.memory_, MemoryBlock::Allocate(measure.used_bytes(), "activations"));
  Layout layout(workspace.memory_.data());
  workspace.Place(numbers, layout);
  std::iota(workspace.identity.begin(), workspace.identity.end(), 0u);
  try {
    workspace.input.Reserve(std::max(shape.batch_tokens, shape.logit_rows),
                            numbers.embedding_length);
    workspace.inner.Reserve(workspace.pair_rows, WidestInnerInput(numbers));
  } catch (const std::bad_alloc&) {
    return Fail(ErrorCode::kOutOfMemory, "cannot allocate the activations of a batch");
  }
  return workspace;
}

}  // namespace gguf_shard
