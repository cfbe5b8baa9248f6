// Everything of a forward pass that lives on a device, but for the weight pages: activations, the
// key/value cache of the device's layers, and the small buffers through which host and device
// speak. Allocated once; sized for a batch.
//
// Rows of floats are `stride` values apart, a multiple of four, so that each is 16-byte aligned.
// What the host writes (upload) is read by the pass that follows; what it reads (readback) is
// complete when that pass has been waited for.
// For one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/error.h"
#include "gpu/buffer.h"
#include "gpu/queue.h"
#include "kernels/vector_ops.h"
#include "runtime/hyperparameters.h"

namespace gguf_shard {

struct DeviceShape {
  uint32_t first_layer = 0;  // the device has the layers from here to the last
  uint32_t batch_tokens = 1;
  uint32_t logit_rows = 1;
  uint32_t context_length = 1;
  uint32_t vocab_size = 1;
  KvType kv_type = KvType::kF16;
  bool has_embedding = true;  // token rows are gathered on the device
  bool has_output = true;     // logits are computed on the device
  bool packs_rows = false;    // for integer dot products
};

// Rows of floats on the device; those that are multiplied with have a place for the same rows
// packed (kernels/vulkan/device_arguments.h), which all such rows share, one after another.
struct DeviceRows {
  uint64_t address = 0;
  uint32_t stride = 0;
  uint64_t packed = 0;
  uint32_t packed_stride = 0;  // of kPackedVectorBytes
  // The rows from one on.
  DeviceRows From(uint64_t row) const;
};

// The same memory as host and device see it.
template <typename T>
struct SharedSpan {
  uint64_t address = 0;
  std::span<T> host;
};

struct DeviceWorkspaceBytes {
  uint64_t activations = 0;
  uint64_t cache = 0;  // keys and values
  uint64_t upload = 0;
  uint64_t readback = 0;
  uint64_t total() const { return activations + cache + upload + readback; }
};

class DeviceWorkspace {
 public:
  // kTooLarge for a shape that 32-bit indices on the device do not reach.
  static Result<DeviceWorkspaceBytes> Bytes(const Hyperparameters& numbers,
                                            const DeviceShape& shape);
  static Result<DeviceWorkspace> Create(gpu::Device& device, const Hyperparameters& numbers,
                                        const DeviceShape& shape);

  DeviceRows hidden;         // [batch][embedding]: the residual stream
  DeviceRows branch;         // [batch][embedding]
  DeviceRows normed;         // [batch][embedding]
  DeviceRows query;          // [batch][query width]
  DeviceRows key;            // [batch][key width]
  DeviceRows value;          // [batch][value width]
  DeviceRows attended;       // [batch][attention width]
  DeviceRows gate;           // [pairs][feed-forward]
  DeviceRows up;             // [pairs][feed-forward]
  DeviceRows router;         // [batch][experts]
  DeviceRows expert_output;  // [pairs][embedding]
  DeviceRows chosen_weight;  // [batch x used], packed

  SharedSpan<float> turns;           // [batch][rotary dimensions]
  SharedSpan<uint32_t> places;       // [batch]{page, block}
  SharedSpan<uint32_t> pair_rows;    // [batch x used]: the token of each pair
  SharedSpan<uint32_t> chosen_pair;  // [batch x used]: the pair of each choice
  SharedSpan<float> hidden_in;       // [batch][stride of hidden]
  SharedSpan<float> hidden_out;      // [batch][stride of hidden]
  SharedSpan<float> logits;          // [logit_rows][vocab]
  SharedSpan<uint32_t> chosen;       // [batch x used]: experts, rising for each token

  // Keys and values of a layer of the device.
  uint64_t cache(uint32_t layer) const { return caches_[layer - first_layer_].address(); }
  // hidden's first bytes from hidden_in, and to hidden_out.
  void CopyHiddenIn(gpu::Commands& commands, uint64_t bytes) const;
  void CopyHiddenOut(gpu::Commands& commands, uint64_t bytes) const;

 private:
  class Layout;
  void Place(const Hyperparameters& numbers, const DeviceShape& shape, Layout& device,
             Layout& upload, Layout& readback);

  uint32_t first_layer_ = 0;
  gpu::Buffer activations_;
  gpu::Buffer upload_;
  gpu::Buffer readback_;
  std::vector<gpu::Buffer> caches_;  // by layer of the device
};

}  // namespace gguf_shard
