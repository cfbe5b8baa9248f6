#include "runtime/forward_pass.h"

#include <algorithm>
#include <array>

#include "core/cancel.h"
#include "core/check.h"
#include "kernels/vector_ops.h"

namespace gguf_shard {
namespace {

constexpr size_t kAttentionTasks = 3;  // query, key, value

}  // namespace

ForwardPass::ForwardPass(const PassResources& resources)
    : resources_(resources),
      matmul_(
          resources.map, resources.atlas, resources.workers, resources.isa,
          std::max(kAttentionTasks, FeedForward::MaxTasks(resources.numbers,
                                                          resources.workspace.shape.batch_tokens)),
          resources.trace),
      embedding_(resources.map, resources.weights.embedding, resources.atlas, resources.workers,
                 resources.workspace.shape.batch_tokens),
      attention_(resources.numbers, resources.rope, resources.cache, resources.workers,
                 resources.isa),
      feed_forward_(resources.numbers, resources.weights, resources.atlas, matmul_,
                    resources.workers, resources.isa) {}

Result<void> ForwardPass::Run(std::span<const TokenId> tokens, uint32_t first_position) {
  Workspace& workspace = resources_.workspace;
  GS_CHECK(!tokens.empty() && tokens.size() <= workspace.shape.batch_tokens);
  GS_CHECK(first_position + tokens.size() <= resources_.cache.positions());
  const auto token_count = static_cast<uint32_t>(tokens.size());
  if (resources_.trace != nullptr) resources_.trace->BeginPass(token_count);
  GS_TRY(embedding_.Gather(tokens, workspace));
  const size_t turn_count = resources_.numbers.rope.dimensions;
  resources_.workers.ForEach(token_count, [&](size_t token, uint32_t) {
    resources_.rope.Turns(first_position + static_cast<uint32_t>(token),
                          workspace.turns.subspan(token * turn_count, turn_count));
  });
  for (uint32_t layer = 0; layer < resources_.numbers.layer_count; ++layer) {
    GS_TRY(CheckCancelled());
    GS_TRY(RunLayer(layer, first_position, token_count));
  }
  return {};
}

Result<void> ForwardPass::RunLayer(uint32_t layer_index, uint32_t first_position,
                                   uint32_t token_count) {
  const LayerWeights& layer = resources_.weights.layers[layer_index];
  const Hyperparameters& numbers = resources_.numbers;
  Workspace& workspace = resources_.workspace;
  const auto tokens = workspace.identity.first(token_count);

  Norm(layer.attention_norm, 0, token_count);
  const std::array<MatMulTask, kAttentionTasks> projections = {{
      {layer.query.weights, &workspace.input, tokens, workspace.query.data(),
       numbers.query_width()},
      {layer.key.weights, &workspace.input, tokens, workspace.key.data(), numbers.key_width()},
      {layer.value.weights, &workspace.input, tokens, workspace.value.data(),
       numbers.value_width()},
  }};
  GS_TRY(matmul_.Compute(projections));
  attention_.Store(layer, layer_index, first_position, token_count, workspace);
  attention_.Attend(layer_index, first_position, token_count, workspace);
  QuantizeAttended(token_count);
  const MatMulTask output = {layer.attention_output.weights, &workspace.inner, tokens,
                             workspace.branch.data(), numbers.embedding_length};
  GS_TRY(matmul_.Compute({&output, 1}));
  AddBranch(layer.attention_output.bias, token_count);

  Norm(layer.feed_forward_norm, 0, token_count);
  GS_TRY(feed_forward_.Run(layer, workspace));
  AddBranch({}, token_count);
  return {};
}

Result<void> ForwardPass::ComputeLogits(uint32_t first_token, uint32_t count) {
  Workspace& workspace = resources_.workspace;
  GS_CHECK(count <= workspace.shape.logit_rows);
  Norm(resources_.weights.output_norm, first_token, count);
  const MatMulTask output = {resources_.weights.output.weights, &workspace.input,
                             workspace.identity.first(count), workspace.logits.data(),
                             resources_.weights.vocab_size()};
  return matmul_.Compute({&output, 1});
}

void ForwardPass::Norm(std::span<const float> weight, uint32_t first_row, uint32_t count) {
  Workspace& workspace = resources_.workspace;
  const size_t width = resources_.numbers.embedding_length;
  workspace.input.Resize(count, resources_.numbers.embedding_length);
  resources_.workers.ForEach(count, [&](size_t row, uint32_t worker) {
    float* normed = workspace.WorkerRow(worker).data();
    RmsNorm(resources_.isa, workspace.hidden.data() + (first_row + row) * width, weight.data(),
            resources_.numbers.rms_epsilon, width, normed);
    workspace.input.Quantize(static_cast<uint32_t>(row), normed);
  });
}

void ForwardPass::AddBranch(std::span<const float> bias, uint32_t token_count) {
  Workspace& workspace = resources_.workspace;
  const size_t width = resources_.numbers.embedding_length;
  resources_.workers.ForEach(token_count, [&](size_t row, uint32_t) {
    float* hidden = workspace.hidden.data() + row * width;
    float* branch = workspace.branch.data() + row * width;
    if (!bias.empty()) AddInPlace(resources_.isa, branch, bias.data(), width);
    AddInPlace(resources_.isa, hidden, branch, width);
  });
}

void ForwardPass::QuantizeAttended(uint32_t token_count) {
  Workspace& workspace = resources_.workspace;
  const uint32_t width = resources_.numbers.attention_width();
  workspace.inner.Resize(token_count, width);
  resources_.workers.ForEach(token_count, [&](size_t row, uint32_t) {
    workspace.inner.Quantize(static_cast<uint32_t>(row), workspace.attended.data() + row * width);
  });
}

}  // namespace gguf_shard
