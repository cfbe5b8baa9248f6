#include "runtime/weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "runtime/tensor_binder.h"

namespace gguf_shard {
namespace {

constexpr const char* kEmbeddingName = "token_embd.weight";
constexpr const char* kRopeFactorsName = "rope_freqs.weight";
constexpr const char* kOutputName = "output.weight";

class LayerBinder {
 public:
  LayerBinder(TensorBinder& tensors, const Architecture& architecture,
              const Hyperparameters& numbers, uint32_t layer_index)
      : tensors_(tensors),
        architecture_(architecture),
        numbers_(numbers),
        layer_index_(layer_index) {}

  Result<LayerWeights> Bind() {
    LayerWeights layer;
    const uint32_t width = numbers_.embedding_length;
    GS_ASSIGN(layer.attention_norm,
              tensors_.Vector(Name("attn_norm.weight"), width, Presence::kRequired));
    GS_TRY(BindAttention(layer));
    GS_ASSIGN(layer.feed_forward_norm,
              tensors_.Vector(Name("ffn_norm.weight"), width, Presence::kRequired));
    if (numbers_.expert_count > 0) {
      GS_ASSIGN(layer.experts, BindExperts());
    } else {
      GS_ASSIGN(layer.dense, BindDense());
    }
    return layer;
  }

 private:
  std::string Name(std::string_view name) const {
    return fmt::format("blk.{}.{}", layer_index_, name);
  }

  // PREFIX.weight and, where the architecture has it, PREFIX.bias.
  Result<Matrix> BindLinear(std::string_view prefix, uint32_t rows, uint32_t columns,
                            Presence bias) {
    GS_ASSIGN(Matrix matrix,
              tensors_.Multiplied(Name(fmt::format("{}.weight", prefix)), rows, columns));
    GS_ASSIGN(matrix.bias, tensors_.Vector(Name(fmt::format("{}.bias", prefix)), rows, bias));
    return matrix;
  }

  Result<void> BindAttention(LayerWeights& layer) {
    const uint32_t width = numbers_.embedding_length;
    const Presence bias = architecture_.projection_bias;
    GS_ASSIGN(layer.query, BindLinear("attn_q", numbers_.query_width(), width, bias));
    GS_ASSIGN(layer.key, BindLinear("attn_k", numbers_.key_width(), width, bias));
    GS_ASSIGN(layer.value, BindLinear("attn_v", numbers_.value_width(), width, bias));
    GS_ASSIGN(layer.query_norm, tensors_.Vector(Name("attn_q_norm.weight"), numbers_.key_length,
                                                architecture_.head_norm));
    GS_ASSIGN(layer.key_norm, tensors_.Vector(Name("attn_k_norm.weight"), numbers_.key_length,
                                              architecture_.head_norm));
    GS_ASSIGN(layer.attention_output, BindLinear("attn_output", width, numbers_.attention_width(),
                                                 architecture_.output_bias));
    return {};
  }

  Result<DenseFeedForward> BindDense() {
    const uint32_t width = numbers_.embedding_length;
    const uint32_t inner = numbers_.feed_forward_length;
    const Presence bias = architecture_.feed_forward_bias;
    DenseFeedForward dense;
    GS_ASSIGN(dense.gate, BindLinear("ffn_gate", inner, width, bias));
    GS_ASSIGN(dense.up, BindLinear("ffn_up", inner, width, bias));
    GS_ASSIGN(dense.down, BindLinear("ffn_down", width, inner, bias));
    return dense;
  }

  Result<ExpertFeedForward> BindExperts() {
    const uint32_t width = numbers_.embedding_length;
    const uint32_t inner = numbers_.expert_feed_forward_length;
    const uint32_t count = numbers_.expert_count;
    ExpertFeedForward experts;
    GS_ASSIGN(experts.router, tensors_.Multiplied(Name("ffn_gate_inp.weight"), count, width));
    GS_ASSIGN(experts.gates, tensors_.Experts(Name("ffn_gate"), count, inner, width));
    GS_ASSIGN(experts.ups, tensors_.Experts(Name("ffn_up"), count, inner, width));
    GS_ASSIGN(experts.downs, tensors_.Experts(Name("ffn_down"), count, width, inner));
    return experts;
  }

  TensorBinder& tensors_;
  const Architecture& architecture_;
  const Hyperparameters& numbers_;
  uint32_t layer_index_;
};

// A factor divides a frequency.
Result<void> CheckRopeFactors(std::span<const float> factors) {
  const bool sound = std::all_of(factors.begin(), factors.end(),
                                 [](float factor) { return std::isfinite(factor) && factor > 0; });
  if (sound) return {};
  return Fail(Error(ErrorCode::kMalformed, "a rotary factor is not a positive number")
                  .Tensor(kRopeFactorsName));
}

Result<void> CheckExpertPresence(const Architecture& architecture, const Hyperparameters& numbers) {
  if (architecture.experts == Presence::kRequired && numbers.expert_count == 0) {
    return Fail(ErrorCode::kMalformed,
                fmt::format("architecture {} without experts", architecture.name));
  }
  if (architecture.experts == Presence::kAbsent && numbers.expert_count > 0) {
    return Fail(ErrorCode::kUnsupported,
                fmt::format("architecture {} with experts", architecture.name));
  }
  return {};
}

}  // namespace

Result<Weights> BindWeights(const CoreFile& core, const Architecture& architecture,
                            const Hyperparameters& numbers) {
  GS_TRY(CheckExpertPresence(architecture, numbers));
  TensorBinder tensors(core);
  Weights weights;
  const uint32_t width = numbers.embedding_length;
  GS_ASSIGN(const uint32_t vocab_size, tensors.RowCount(kEmbeddingName, width));
  GS_ASSIGN(weights.embedding, tensors.Gathered(kEmbeddingName, vocab_size, width));
  GS_ASSIGN(weights.rope_factors, tensors.Vector(kRopeFactorsName, numbers.rope.dimensions / 2,
                                                 architecture.rope_factors));
  GS_TRY(CheckRopeFactors(weights.rope_factors));
  for (uint32_t layer = 0; layer < numbers.layer_count; ++layer) {
    GS_ASSIGN(LayerWeights bound, LayerBinder(tensors, architecture, numbers, layer).Bind());
    weights.layers.push_back(std::move(bound));
  }
  GS_ASSIGN(weights.output_norm, tensors.Vector("output_norm.weight", width, Presence::kRequired));
  const char* output_name = tensors.Has(kOutputName) ? kOutputName : kEmbeddingName;
  GS_ASSIGN(weights.output, tensors.Multiplied(output_name, vocab_size, width));
  GS_TRY(tensors.CheckAllUsed());
  return weights;
}

std::vector<uint32_t> ScheduleOf(const Weights& weights) {
  std::vector<uint32_t> schedule;
  const auto add = [&](const Matrix& matrix) { schedule.push_back(matrix.weights.tensor_index); };
  for (const LayerWeights& layer : weights.layers) {
    for (const Matrix* matrix : {&layer.query, &layer.key, &layer.value, &layer.attention_output}) {
      add(*matrix);
    }
    if (layer.experts) add(layer.experts->router);
    if (layer.dense) {
      for (const Matrix* matrix : {&layer.dense->gate, &layer.dense->up, &layer.dense->down}) {
        add(*matrix);
      }
    }
  }
  add(weights.output);
  return schedule;
}

}  // namespace gguf_shard
