#include "runtime/feed_forward.h"

#include <algorithm>

#include "kernels/vector_ops.h"

namespace gguf_shard {

FeedForward::FeedForward(const Hyperparameters& numbers, const Weights& weights, Atlas& atlas,
                         PagedMatMul& matmul, WorkerPool& workers, KernelIsa isa)
    : numbers_(numbers), atlas_(atlas), matmul_(matmul), workers_(workers), isa_(isa) {
  tasks_.reserve(2 * std::max(size_t{1}, size_t{numbers.expert_count}));
  size_t most_runs = 0;
  for (const LayerWeights& layer : weights.layers) {
    if (!layer.experts) continue;
    size_t runs = 0;
    for (const auto* matrices :
         {&layer.experts->gates, &layer.experts->ups, &layer.experts->downs}) {
      for (const MatrixSlice& matrix : *matrices) {
        runs += atlas.run_table().RunsOf(matrix.tensor_index, matrix.slice).run_count;
      }
    }
    most_runs = std::max(most_runs, runs);
  }
  announced_runs_.reserve(most_runs);
}

size_t FeedForward::MaxTasks(const Hyperparameters& numbers, uint32_t batch_tokens) {
  const size_t pairs = std::max(size_t{batch_tokens}, size_t{numbers.expert_used_count});
  return 2 * std::max(size_t{1}, std::min(pairs, size_t{numbers.expert_count}));
}

Result<void> FeedForward::Run(const LayerWeights& layer, Workspace& workspace) {
  return layer.experts ? RunExperts(*layer.experts, workspace) : RunDense(*layer.dense, workspace);
}

Result<void> FeedForward::RunDense(const DenseFeedForward& dense, Workspace& workspace) {
  const uint32_t token_count = workspace.input.tokens();
  const auto tokens = workspace.identity.first(token_count);
  const size_t inner = numbers_.feed_forward_length;
  tasks_.assign({{dense.gate.weights, &workspace.input, tokens, workspace.gate.data(), inner},
                 {dense.up.weights, &workspace.input, tokens, workspace.up.data(), inner}});
  GS_TRY(matmul_.Compute(tasks_));
  workspace.inner.Resize(token_count, numbers_.feed_forward_length);
  Gate(&dense.gate, &dense.up, token_count, workspace);
  tasks_.assign({{dense.down.weights, &workspace.inner, tokens, workspace.branch.data(),
                  numbers_.embedding_length}});
  GS_TRY(matmul_.Compute(tasks_));
  if (dense.down.bias.empty()) return {};
  workers_.ForEach(token_count, [&](size_t token, uint32_t) {
    AddInPlace(isa_, workspace.branch.data() + token * numbers_.embedding_length,
               dense.down.bias.data(), dense.down.bias.size());
  });
  return {};
}

// workspace.inner's rows = silu(gate) * up. The matrices are given where they may have a bias.
void FeedForward::Gate(const Matrix* gate, const Matrix* up, uint32_t rows, Workspace& workspace) {
  const size_t inner = workspace.inner.columns();
  workers_.ForEach(rows, [&](size_t row, uint32_t worker) {
    float* gate_row = workspace.gate.data() + row * inner;
    float* up_row = workspace.up.data() + row * inner;
    if (gate != nullptr && !gate->bias.empty()) {
      AddInPlace(isa_, gate_row, gate->bias.data(), inner);
    }
    if (up != nullptr && !up->bias.empty()) AddInPlace(isa_, up_row, up->bias.data(), inner);
    float* gated = workspace.WorkerRow(worker).data();
    SwiGlu(isa_, gate_row, up_row, inner, gated);
    workspace.inner.Quantize(static_cast<uint32_t>(row), gated);
  });
}

Result<void> FeedForward::RunExperts(const ExpertFeedForward& experts, Workspace& workspace) {
  const uint32_t token_count = workspace.input.tokens();
  GS_TRY(Route(experts, workspace));
  for (uint32_t expert = 0; expert < numbers_.expert_count;) {
    const Chunk chunk = NextChunk(expert, workspace);
    Announce(experts, chunk.first_expert, workspace);
    GS_TRY(RunChunk(experts, chunk, workspace));
    AddChunk(chunk, token_count, workspace);
    expert = chunk.end_expert;
  }
  return {};
}

Result<void> FeedForward::Route(const ExpertFeedForward& experts, Workspace& workspace) {
  const uint32_t token_count = workspace.input.tokens();
  tasks_.assign({{experts.router.weights, &workspace.input, workspace.identity.first(token_count),
                  workspace.router.data(), numbers_.expert_count}});
  GS_TRY(matmul_.Compute(tasks_));
  workers_.ForEach(token_count, [&](size_t token, uint32_t) {
    ChooseExperts(static_cast<uint32_t>(token), workspace);
  });
  GroupByExpert(token_count, workspace);
  return {};
}

// The most probable experts (the lower number on a tie), their probabilities scaled to sum to 1.
void FeedForward::ChooseExperts(uint32_t token, Workspace& workspace) const {
  const size_t count = numbers_.expert_count;
  const size_t used = numbers_.expert_used_count;
  const auto probabilities = workspace.router.subspan(token * count, count);
  const auto chosen = workspace.chosen.subspan(token * used, used);
  const auto weights = workspace.chosen_weight.subspan(token * used, used);
  Softmax(isa_, probabilities.data(), count);
  for (size_t slot = 0; slot < used; ++slot) {
    size_t best = count;
    for (size_t expert = 0; expert < count; ++expert) {
      const auto taken = chosen.first(slot);
      if (std::find(taken.begin(), taken.end(), expert) != taken.end()) continue;
      if (best == count || probabilities[expert] > probabilities[best]) best = expert;
    }
    chosen[slot] = static_cast<uint32_t>(best);
  }
  std::ranges::sort(chosen);
  // As the models were trained: no less than the smallest normal f16 number, against a division by
  // zero.
  constexpr float kSmallestSum = 6.103515625e-5f;
  float sum = 0;
  for (const uint32_t expert : chosen) sum += probabilities[expert];
  sum = std::max(sum, kSmallestSum);
  for (size_t slot = 0; slot < used; ++slot) weights[slot] = probabilities[chosen[slot]] / sum;
}

// A counting sort of (token, slot) by expert: fills expert_begin, pair_token and chosen_pair.
void FeedForward::GroupByExpert(uint32_t token_count, Workspace& workspace) const {
  const auto begin = workspace.expert_begin;
  const auto chosen = workspace.chosen.first(size_t{token_count} * numbers_.expert_used_count);
  std::ranges::fill(begin, 0u);
  for (const uint32_t expert : chosen) ++begin[expert + 1];
  for (size_t expert = 1; expert < begin.size(); ++expert) begin[expert] += begin[expert - 1];
  // begin[e] serves as the cursor of expert e and ends where e + 1 begins; shifted back after.
  for (uint32_t index = 0; index < chosen.size(); ++index) {
    const uint32_t pair = begin[chosen[index]]++;
    workspace.pair_token[pair] = index / numbers_.expert_used_count;
    workspace.chosen_pair[index] = pair;
  }
  for (size_t expert = begin.size() - 1; expert > 0; --expert) begin[expert] = begin[expert - 1];
  begin[0] = 0;
}

FeedForward::Chunk FeedForward::NextChunk(uint32_t first_expert, const Workspace& workspace) const {
  const auto begin = workspace.expert_begin;
  uint32_t end_expert = first_expert + 1;
  while (end_expert < numbers_.expert_count &&
         begin[end_expert + 1] - begin[first_expert] <= workspace.pair_rows) {
    ++end_expert;
  }
  return {first_expert, end_expert, begin[first_expert], begin[end_expert]};
}

// Names the runs of every chosen expert from `first_expert` on, in order of use.
void FeedForward::Announce(const ExpertFeedForward& experts, uint32_t first_expert,
                           const Workspace& workspace) {
  const auto begin = workspace.expert_begin;
  announced_runs_.clear();
  for (uint32_t expert = first_expert; expert < numbers_.expert_count; ++expert) {
    if (begin[expert] == begin[expert + 1]) continue;
    for (const auto* matrices : {&experts.gates, &experts.ups, &experts.downs}) {
      const MatrixSlice& matrix = (*matrices)[expert];
      const RunSpan runs = atlas_.run_table().RunsOf(matrix.tensor_index, matrix.slice);
      for (uint32_t run = 0; run < runs.run_count; ++run) {
        announced_runs_.push_back(runs.first_run + run);
      }
    }
  }
  atlas_.Prefetch(announced_runs_);
}

Result<void> FeedForward::RunChunk(const ExpertFeedForward& experts, const Chunk& chunk,
                                   Workspace& workspace) {
  const auto begin = workspace.expert_begin;
  const size_t inner = numbers_.expert_feed_forward_length;
  tasks_.clear();
  for (uint32_t expert = chunk.first_expert; expert < chunk.end_expert; ++expert) {
    const size_t pairs = begin[expert + 1] - begin[expert];
    if (pairs == 0) continue;
    const auto tokens = workspace.pair_token.subspan(begin[expert], pairs);
    const size_t offset = (begin[expert] - chunk.first_pair) * inner;
    tasks_.push_back(
        {experts.gates[expert], &workspace.input, tokens, workspace.gate.data() + offset, inner});
    tasks_.push_back(
        {experts.ups[expert], &workspace.input, tokens, workspace.up.data() + offset, inner});
  }
  if (tasks_.empty()) return {};
  GS_TRY(matmul_.Compute(tasks_));
  workspace.inner.Resize(chunk.end_pair - chunk.first_pair, numbers_.expert_feed_forward_length);
  Gate(nullptr, nullptr, chunk.end_pair - chunk.first_pair, workspace);
  tasks_.clear();
  for (uint32_t expert = chunk.first_expert; expert < chunk.end_expert; ++expert) {
    const size_t pairs = begin[expert + 1] - begin[expert];
    if (pairs == 0) continue;
    const size_t row = begin[expert] - chunk.first_pair;
    tasks_.push_back({experts.downs[expert], &workspace.inner,
                      workspace.identity.subspan(row, pairs),
                      workspace.expert_output.data() + row * numbers_.embedding_length,
                      numbers_.embedding_length});
  }
  return matmul_.Compute(tasks_);
}

// Adds the chunk's pairs to their tokens' rows of workspace.branch; the first chunk clears them.
void FeedForward::AddChunk(const Chunk& chunk, uint32_t token_count, Workspace& workspace) {
  const size_t width = numbers_.embedding_length;
  const size_t used = numbers_.expert_used_count;
  workers_.ForEach(token_count, [&](size_t token, uint32_t) {
    float* sum = workspace.branch.data() + token * width;
    if (chunk.first_expert == 0) std::fill_n(sum, width, 0.0f);
    for (size_t choice = token * used; choice < (token + 1) * used; ++choice) {
      const uint32_t pair = workspace.chosen_pair[choice];
      if (pair < chunk.first_pair || pair >= chunk.end_pair) continue;
      AddScaled(isa_, sum, workspace.expert_output.data() + (pair - chunk.first_pair) * width,
                workspace.chosen_weight[choice], width);
    }
  });
}

}  // namespace gguf_shard
