#include "bench/model/plan.h"

#include <fmt/format.h>

#include <string_view>

namespace gguf_shard {
namespace {

// The mixes of quantizers. Q4_K_M: Q6_K for the output, and in the first and last eighth of the
// layers and every third between for attn_v and ffn_down. Q4_0: Q6_K for the output.
class TypeMix {
 public:
  explicit TypeMix(const Request& request) : request_(request) {}
  TensorType Matrix(std::string_view name, uint32_t layer) const {
    if (request_.quantization == "Q8_0") return TensorType::kQ8_0;
    if (request_.quantization == "F16") return TensorType::kF16;
    if (name == "output") return TensorType::kQ6_K;
    if (request_.quantization == "Q4_0") return TensorType::kQ4_0;
    const bool sensitive = name == "attn_v" || name == "ffn_down" || name == "ffn_down_exps";
    const uint32_t layers = request_.shape.layers;
    const bool more_bits =
        layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
    return sensitive && more_bits ? TensorType::kQ6_K : TensorType::kQ4_K;
  }

 private:
  const Request& request_;
};

}  // namespace

std::vector<PlannedTensor> PlanTensors(const Request& request) {
  const ModelShape& shape = request.shape;
  const TypeMix mix(request);
  const uint64_t width = shape.width;
  const uint64_t query_width = uint64_t{shape.head()} * shape.heads;
  const uint64_t kv_width = uint64_t{shape.head()} * shape.kv_heads;
  std::vector<PlannedTensor> tensors;
  const auto matrix = [&](const std::string& prefix, const char* name, uint32_t layer,
                          uint64_t columns, uint64_t rows) {
    tensors.push_back({prefix + name + ".weight", mix.Matrix(name, layer), {columns, rows}});
  };
  const auto norm = [&](const std::string& prefix, const char* name, uint64_t length) {
    tensors.push_back({prefix + name + ".weight", TensorType::kF32, {length}});
  };
  const auto experts = [&](const std::string& prefix, const char* name, uint32_t layer,
                           uint64_t columns, uint64_t rows) {
    tensors.push_back(
        {prefix + name + ".weight", mix.Matrix(name, layer), {columns, rows, shape.experts}});
  };
  const auto made = [&](const std::string& name, TensorType type, uint64_t rows, Made values) {
    tensors.push_back({name + ".weight", type, {width, rows}});
    tensors.back().made = values;
  };
  const bool routed = shape.experts > 0;
  if (routed) {
    made("token_embd", TensorType::kQ8_0, shape.vocabulary, Made::kEmbedding);
  } else {
    matrix("", "token_embd", shape.layers, width, shape.vocabulary);
  }
  for (uint32_t layer = 0; layer < shape.layers; ++layer) {
    const std::string prefix = fmt::format("blk.{}.", layer);
    norm(prefix, "attn_norm", width);
    if (routed) {
      norm(prefix, "attn_q_norm", shape.head());
      norm(prefix, "attn_k_norm", shape.head());
    }
    matrix(prefix, "attn_q", layer, width, query_width);
    matrix(prefix, "attn_k", layer, width, kv_width);
    matrix(prefix, "attn_v", layer, width, kv_width);
    matrix(prefix, "attn_output", layer, query_width, width);
    norm(prefix, "ffn_norm", width);
    if (routed) {
      made(prefix + "ffn_gate_inp", TensorType::kF32, shape.experts, Made::kRouter);
      experts(prefix, "ffn_gate_exps", layer, width, shape.feed_forward);
      experts(prefix, "ffn_up_exps", layer, width, shape.feed_forward);
      experts(prefix, "ffn_down_exps", layer, shape.feed_forward, width);
      continue;
    }
    matrix(prefix, "ffn_gate", layer, width, shape.feed_forward);
    matrix(prefix, "ffn_up", layer, width, shape.feed_forward);
    matrix(prefix, "ffn_down", layer, shape.feed_forward, width);
  }
  norm("", "output_norm", width);
  if (routed) {
    made("output", TensorType::kQ8_0, shape.vocabulary, Made::kOutput);
  } else {
    matrix("", "output", shape.layers, width, shape.vocabulary);
  }
  return tensors;
}

}  // namespace gguf_shard
