// A model's weights as a device sees them: where each matrix lies in the core, and the small
// vectors (norms, biases), which are copied into one buffer of the device when it is opened.
// Immutable once created; the model outlives it.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/error.h"
#include "gpu/buffer.h"
#include "gpu/device.h"
#include "kernels/vulkan/device_arguments.h"
#include "runtime/model.h"

namespace gguf_shard {

// A matrix and the runs that hold it.
struct DeviceProduct {
  MatrixSlice slice;
  DeviceMatrix matrix;
};

struct DeviceVector {
  uint64_t address = 0;
  bool empty() const { return address == 0; }
};

struct DeviceLayer {
  DeviceVector attention_norm;
  DeviceVector projection_bias;  // query, key, value, one after another
  DeviceVector head_norms;       // query, key
  DeviceVector output_bias;
  DeviceVector feed_forward_norm;
  DeviceVector gate_bias;
  DeviceVector up_bias;
  DeviceVector down_bias;
  DeviceProduct query;
  DeviceProduct key;
  DeviceProduct value;
  DeviceProduct attention_output;
  // Dense, or the router and the experts of a mixture.
  DeviceProduct gate;
  DeviceProduct up;
  DeviceProduct down;
  std::optional<DeviceProduct> router;
  std::vector<DeviceProduct> gates;  // by expert
  std::vector<DeviceProduct> ups;
  std::vector<DeviceProduct> downs;
};

class DeviceWeights {
 public:
  // Bytes of the buffer for layers `first_layer` on.
  static uint64_t VectorBytes(const Model& model, uint32_t first_layer);
  // kUnsupported when a matrix has a type without shaders.
  static Result<DeviceWeights> Create(gpu::Device& device, const Model& model,
                                      uint32_t first_layer);

  const DeviceLayer& layer(uint32_t index) const { return layers_[index - first_layer_]; }
  DeviceVector output_norm() const { return output_norm_; }
  const DeviceProduct& output() const { return output_; }

 private:
  class Vectors;
  DeviceLayer PlaceLayer(const Model& model, const LayerWeights& layer, Vectors& vectors) const;
  void Place(const Model& model, Vectors& vectors);

  uint32_t first_layer_ = 0;
  std::vector<DeviceLayer> layers_;
  DeviceVector output_norm_;
  DeviceProduct output_;
  gpu::Buffer buffer_;
};

// The tensors that a device with layers from `first_layer` on multiplies with in every pass, in
// order of use, and those before them, which the host has.
std::vector<uint32_t> DeviceScheduleOf(const Weights& weights, uint32_t first_layer,
                                       bool has_output);
std::vector<uint32_t> HostScheduleOf(const Weights& weights, uint32_t end_layer, bool has_output);

}  // namespace gguf_shard
