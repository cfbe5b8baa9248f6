#include "runtime/device_pass.h"

#include <array>
#include <cmath>
#include <cstring>

#include "core/cancel.h"
#include "core/check.h"

namespace gguf_shard {
namespace {

// With all pages resident nothing but the host's recording asks for short submissions.
constexpr uint32_t kLayersPerSubmission = 4;

}  // namespace

DevicePass::DevicePass(const Model& model, const DeviceShape& shape, const DeviceWeights& weights,
                       DeviceWorkspace& workspace, DeviceRecorder& recorder)
    : model_(model),
      numbers_(model.hyperparameters()),
      shape_(shape),
      weights_(weights),
      workspace_(workspace),
      recorder_(recorder),
      expert_begin_(size_t{numbers_.expert_count} + 1),
      layers_per_submission_(recorder.everything_fits() ? kLayersPerSubmission : 1) {
  announced_.reserve(size_t{numbers_.expert_count} * 3);
}

// What the host writes may still be read by the pass before.
Result<void> DevicePass::Begin(uint32_t token_count, uint32_t first_position) {
  GS_CHECK(token_count > 0 && token_count <= shape_.batch_tokens);
  GS_CHECK(first_position + token_count <= shape_.context_length);
  GS_TRY(recorder_.Finish());
  const size_t turn_count = numbers_.rope.dimensions;
  for (uint32_t token = 0; token < token_count; ++token) {
    model_.rope().Turns(first_position + token,
                        workspace_.turns.host.subspan(token * turn_count, turn_count));
  }
  has_branch_ = false;
  return {};
}

Result<void> DevicePass::Run(std::span<const TokenId> tokens, uint32_t first_position) {
  const auto token_count = static_cast<uint32_t>(tokens.size());
  const auto run = [&]() -> Result<void> {
    GS_TRY(Begin(token_count, first_position));
    GS_TRY(recorder_.Gather(model_.weights().embedding.weights, tokens, workspace_.places,
                            workspace_.hidden));
    GS_TRY(recorder_.Barrier());
    GS_TRY(RunLayers(token_count, first_position));
    GS_TRY(AddNorm(branch_bias_, weights_.output_norm(), token_count));
    GS_TRY(recorder_.Barrier());
    return recorder_.PackFor({&weights_.output()}, workspace_.normed, numbers_.embedding_length,
                             token_count);
  };
  Result<void> result = run();
  if (!result) recorder_.Abandon();
  return result;
}

Result<void> DevicePass::RunHidden(std::span<float> hidden, uint32_t token_count,
                                   uint32_t first_position) {
  const size_t width = numbers_.embedding_length;
  const size_t stride = workspace_.hidden.stride;
  const uint64_t bytes = token_count * stride * sizeof(float);
  const auto run = [&]() -> Result<void> {
    GS_TRY(Begin(token_count, first_position));
    for (size_t row = 0; row < token_count; ++row) {
      std::memcpy(workspace_.hidden_in.host.data() + row * stride, hidden.data() + row * width,
                  width * sizeof(float));
    }
    GS_ASSIGN(gpu::Commands * commands, recorder_.Commands());
    workspace_.CopyHiddenIn(*commands, bytes);
    GS_TRY(recorder_.Barrier());
    GS_TRY(RunLayers(token_count, first_position));
    GS_TRY(AddNorm(branch_bias_, {}, token_count));
    GS_TRY(recorder_.Barrier());
    GS_ASSIGN(commands, recorder_.Commands());
    workspace_.CopyHiddenOut(*commands, bytes);
    return recorder_.Finish();
  };
  const Result<void> result = run();
  if (!result) {
    recorder_.Abandon();
    return result;
  }
  read_back_bytes_ += bytes;
  for (size_t row = 0; row < token_count; ++row) {
    std::memcpy(hidden.data() + row * width, workspace_.hidden_out.host.data() + row * stride,
                width * sizeof(float));
  }
  return {};
}

Result<std::span<float>> DevicePass::ComputeLogits(uint32_t first_token, uint32_t count) {
  GS_CHECK(count > 0 && count <= shape_.logit_rows);
  DeviceRows y;
  y.address = workspace_.logits.address;
  y.stride = shape_.vocab_size;
  Result<void> result =
      recorder_.Multiply(weights_.output(), workspace_.normed.From(first_token), y, count);
  if (result) result = recorder_.Finish();
  if (!result) {
    recorder_.Abandon();
    return Fail(std::move(result).error());
  }
  const auto logits = workspace_.logits.host.first(size_t{count} * shape_.vocab_size);
  read_back_bytes_ += logits.size_bytes();
  return logits;
}

Result<void> DevicePass::RunLayers(uint32_t token_count, uint32_t first_position) {
  for (uint32_t layer = shape_.first_layer; layer < numbers_.layer_count; ++layer) {
    GS_TRY(CheckCancelled());
    GS_TRY(RunLayer(layer, token_count, first_position));
    const uint32_t done = layer + 1 - shape_.first_layer;
    if (done % layers_per_submission_ == 0) GS_TRY(recorder_.Submit());
  }
  return {};
}

Result<void> DevicePass::RunLayer(uint32_t layer_index, uint32_t token_count,
                                  uint32_t first_position) {
  const DeviceLayer& layer = weights_.layer(layer_index);
  const uint32_t width = numbers_.embedding_length;
  GS_TRY(AddNorm(branch_bias_, layer.attention_norm, token_count));
  GS_TRY(recorder_.Barrier());
  GS_TRY(recorder_.PackFor({&layer.query, &layer.key, &layer.value}, workspace_.normed, width,
                           token_count));
  GS_TRY(recorder_.Multiply(layer.query, workspace_.normed, workspace_.query, token_count));
  GS_TRY(recorder_.Multiply(layer.key, workspace_.normed, workspace_.key, token_count));
  GS_TRY(recorder_.Multiply(layer.value, workspace_.normed, workspace_.value, token_count));
  GS_TRY(recorder_.Barrier());
  GS_TRY(Attend(layer, layer_index, token_count, first_position));
  GS_TRY(recorder_.Barrier());
  GS_TRY(recorder_.PackFor({&layer.attention_output}, workspace_.attended,
                           numbers_.attention_width(), token_count));
  GS_TRY(recorder_.Multiply(layer.attention_output, workspace_.attended, workspace_.branch,
                            token_count));
  GS_TRY(recorder_.Barrier());
  has_branch_ = true;
  GS_TRY(AddNorm(layer.output_bias, layer.feed_forward_norm, token_count));
  GS_TRY(recorder_.Barrier());
  GS_TRY(layer.router ? FeedExperts(layer, token_count) : FeedForward(layer, token_count));
  has_branch_ = true;
  branch_bias_ = layer.down_bias;
  return recorder_.Barrier();
}

Result<void> DevicePass::AddNorm(DeviceVector bias, DeviceVector norm, uint32_t token_count) {
  RmsNormArguments arguments;
  arguments.hidden = workspace_.hidden.address;
  arguments.branch = workspace_.branch.address;
  arguments.bias = bias.address;
  arguments.weight = norm.address;
  arguments.normed = workspace_.normed.address;
  arguments.width = numbers_.embedding_length;
  arguments.stride = workspace_.hidden.stride;
  arguments.epsilon = numbers_.rms_epsilon;
  arguments.adds_branch = has_branch_ ? 1 : 0;
  arguments.adds_bias = has_branch_ && !bias.empty() ? 1 : 0;
  arguments.norms = norm.empty() ? 0 : 1;
  has_branch_ = false;
  GS_ASSIGN(gpu::Commands* const commands, recorder_.Commands());
  return recorder_.kernels().RmsNorm(*commands, token_count, arguments);
}

Result<void> DevicePass::Attend(const DeviceLayer& layer, uint32_t layer_index,
                                uint32_t token_count, uint32_t first_position) {
  PrepareHeadsArguments prepare;
  prepare.query = workspace_.query.address;
  prepare.key = workspace_.key.address;
  prepare.value = workspace_.value.address;
  prepare.bias = layer.projection_bias.address;
  prepare.norms = layer.head_norms.address;
  prepare.turns = workspace_.turns.address;
  prepare.cache = workspace_.cache(layer_index);
  prepare.head_count = numbers_.head_count;
  prepare.head_count_kv = numbers_.head_count_kv;
  prepare.first_position = first_position;
  prepare.positions = shape_.context_length;
  prepare.query_stride = workspace_.query.stride;
  prepare.key_stride = workspace_.key.stride;
  prepare.value_stride = workspace_.value.stride;
  prepare.epsilon = numbers_.rms_epsilon;
  prepare.has_bias = layer.projection_bias.empty() ? 0 : 1;
  prepare.has_norms = layer.head_norms.empty() ? 0 : 1;
  GS_ASSIGN(gpu::Commands* const commands, recorder_.Commands());
  GS_TRY(recorder_.kernels().PrepareHeads(*commands, token_count, prepare));
  commands->Barrier();
  AttentionArguments attention;
  attention.query = workspace_.query.address;
  attention.attended = workspace_.attended.address;
  attention.cache = workspace_.cache(layer_index);
  attention.first_position = first_position;
  attention.positions = shape_.context_length;
  attention.group_heads = numbers_.heads_per_group();
  attention.query_stride = workspace_.query.stride;
  attention.attended_stride = workspace_.attended.stride;
  attention.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(numbers_.key_length)));
  return recorder_.kernels().Attention(*commands, numbers_.head_count, token_count, attention);
}

Result<void> DevicePass::FeedForward(const DeviceLayer& layer, uint32_t token_count) {
  GS_TRY(recorder_.PackFor({&layer.gate, &layer.up}, workspace_.normed, numbers_.embedding_length,
                           token_count));
  GS_TRY(recorder_.Multiply(layer.gate, workspace_.normed, workspace_.gate, token_count));
  GS_TRY(recorder_.Multiply(layer.up, workspace_.normed, workspace_.up, token_count));
  GS_TRY(recorder_.Barrier());
  GS_TRY(Gate(layer, token_count, numbers_.feed_forward_length));
  GS_TRY(recorder_.Barrier());
  GS_TRY(
      recorder_.PackFor({&layer.down}, workspace_.gate, numbers_.feed_forward_length, token_count));
  return recorder_.Multiply(layer.down, workspace_.gate, workspace_.branch, token_count);
}

Result<void> DevicePass::Gate(const DeviceLayer& layer, uint32_t rows, uint32_t width) {
  SwiGluArguments arguments;
  arguments.gate = workspace_.gate.address;
  arguments.up = workspace_.up.address;
  arguments.gate_bias = layer.gate_bias.address;
  arguments.up_bias = layer.up_bias.address;
  arguments.width = width;
  arguments.stride = workspace_.gate.stride;
  arguments.has_gate_bias = layer.gate_bias.empty() ? 0 : 1;
  arguments.has_up_bias = layer.up_bias.empty() ? 0 : 1;
  GS_ASSIGN(gpu::Commands* const commands, recorder_.Commands());
  return recorder_.kernels().SwiGlu(*commands, rows, arguments);
}

}  // namespace gguf_shard
