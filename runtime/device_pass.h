// One batch of tokens through a device's layers: the device's side of ForwardPass
// (runtime/forward_pass.h), with the same order of operations. Nothing is read back but logits,
// the experts that a router chose, and the hidden state where the host has the output matrix.
//
// The sum of every value has one order, so results do not depend on the budget, the batch, or how
// the pass was cut into waves.
// For one thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/error.h"
#include "runtime/device_recorder.h"
#include "runtime/device_weights.h"
#include "runtime/device_workspace.h"
#include "runtime/model.h"

namespace gguf_shard {

class DevicePass {
 public:
  // All of it outlives the pass.
  DevicePass(const Model& model, const DeviceShape& shape, const DeviceWeights& weights,
             DeviceWorkspace& workspace, DeviceRecorder& recorder);

  // Evaluates up to batch_tokens tokens at positions `first_position` on; for a device that has the
  // embedding. kCancelled between layers when the user interrupts.
  Result<void> Run(std::span<const TokenId> tokens, uint32_t first_position);
  // The same from the hidden state after the host's layers, [token][embedding], which becomes that
  // after the last one.
  Result<void> RunHidden(std::span<float> hidden, uint32_t token_count, uint32_t first_position);
  // The logits after tokens [first_token, + count) of the last Run, [row][vocab], the caller's to
  // change until the next call; count is at most logit_rows.
  Result<std::span<float>> ComputeLogits(uint32_t first_token, uint32_t count);

  // What the host has read of a device's results so far.
  uint64_t read_back_bytes() const { return read_back_bytes_; }

 private:
  Result<void> Begin(uint32_t token_count, uint32_t first_position);
  Result<void> RunLayers(uint32_t token_count, uint32_t first_position);
  Result<void> RunLayer(uint32_t layer_index, uint32_t token_count, uint32_t first_position);
  Result<void> Attend(const DeviceLayer& layer, uint32_t layer_index, uint32_t token_count,
                      uint32_t first_position);
  Result<void> FeedForward(const DeviceLayer& layer, uint32_t token_count);
  Result<void> FeedExperts(const DeviceLayer& layer, uint32_t token_count);
  Result<void> Route(const DeviceLayer& layer, uint32_t token_count);
  Result<void> GroupByExpert(uint32_t token_count);
  void AnnounceExperts(const DeviceLayer& layer);
  Result<void> RunExperts(const DeviceLayer& layer);
  Result<void> Gate(const DeviceLayer& layer, uint32_t rows, uint32_t width);
  // hidden += branch + bias where there is a branch; normed = norm(hidden) where there is a norm.
  Result<void> AddNorm(DeviceVector bias, DeviceVector norm, uint32_t token_count);

  const Model& model_;
  const Hyperparameters& numbers_;
  DeviceShape shape_;
  const DeviceWeights& weights_;
  DeviceWorkspace& workspace_;
  DeviceRecorder& recorder_;
  bool has_branch_ = false;             // to be added before the next norm
  DeviceVector branch_bias_;            // with it
  std::vector<uint32_t> expert_begin_;  // first pair of each expert, and the end
  std::vector<const DeviceProduct*> announced_;
  uint64_t read_back_bytes_ = 0;
  // A submission costs the host some time; several let the device work while it records.
  uint32_t layers_per_submission_ = 1;
};

}  // namespace gguf_shard
