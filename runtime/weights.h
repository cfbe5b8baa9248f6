// The model's tensors bound to their places in the core, by name, with every shape and type checked
// against the hyperparameters before anything uses them. Matrices stay on disk until the atlas
// pages them in; norms, biases and rotary factors (a few KB per layer) are held here as f32.
// Immutable after binding; thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/core_file.h"
#include "runtime/architecture.h"
#include "runtime/hyperparameters.h"

namespace gguf_shard {

// One matrix of the core: a whole tensor, or one expert of a tensor of experts.
struct MatrixSlice {
  uint32_t tensor_index = 0;  // into CoreMap::tensors
  uint32_t slice = 0;
};

// y = W x + bias
struct Matrix {
  MatrixSlice weights;
  uint32_t rows = 0;
  uint32_t columns = 0;
  std::vector<float> bias;  // rows, or empty
};

// ffn_down(silu(ffn_gate(x)) * ffn_up(x))
struct DenseFeedForward {
  Matrix gate;
  Matrix up;
  Matrix down;
};

// The same, in as many variants as there are experts; the router chooses.
struct ExpertFeedForward {
  Matrix router;
  std::vector<MatrixSlice> gates;  // by expert
  std::vector<MatrixSlice> ups;
  std::vector<MatrixSlice> downs;
};

struct LayerWeights {
  std::vector<float> attention_norm;
  Matrix query;
  Matrix key;
  Matrix value;
  std::vector<float> query_norm;  // per head; empty when the architecture has none
  std::vector<float> key_norm;
  Matrix attention_output;
  std::vector<float> feed_forward_norm;
  std::optional<DenseFeedForward> dense;  // one of the two
  std::optional<ExpertFeedForward> experts;
};

struct Weights {
  Matrix embedding;  // rows are gathered
  std::vector<float> rope_factors;
  std::vector<LayerWeights> layers;
  std::vector<float> output_norm;
  Matrix output;  // the embedding itself when the model ties them

  uint32_t vocab_size() const { return embedding.rows; }
};

// Fails on a missing tensor, a wrong shape, a type without kernels, and on any tensor left over:
// weights that nothing would use mean a model that this program does not understand.
Result<Weights> BindWeights(const CoreFile& core, const Architecture& architecture,
                            const Hyperparameters& numbers);

// The tensors that every pass multiplies with, in order of use: the atlas's schedule.
std::vector<uint32_t> ScheduleOf(const Weights& weights);

}  // namespace gguf_shard
