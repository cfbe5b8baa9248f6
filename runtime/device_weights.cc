#include "runtime/device_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <span>

#include "core/bytes.h"
#include "gpu/queue.h"
#include "kernels/vulkan/device_kernels.h"

namespace gguf_shard {
namespace {

constexpr uint64_t kVectorAlignment = 16;

DeviceProduct Describe(const CoreMap& map, const MatrixSlice& slice) {
  const MapTensor& tensor = map.tensors[slice.tensor_index];
  return {slice, DescribeMatrix(tensor.layout, tensor.slice_pages(slice.slice).first_page)};
}

std::vector<DeviceProduct> Describe(const CoreMap& map, std::span<const MatrixSlice> slices) {
  std::vector<DeviceProduct> products;
  for (const MatrixSlice& slice : slices) products.push_back(Describe(map, slice));
  return products;
}

Result<void> CheckType(const CoreMap& map, uint32_t tensor_index) {
  const MapTensor& tensor = map.tensors[tensor_index];
  if (HasDeviceKernels(tensor.layout.type)) return {};
  return Fail(Error(ErrorCode::kUnsupported, fmt::format("no compute shader for tensors of type {}",
                                                         TensorTypeName(tensor.layout.type)))
                  .Tensor(tensor.name));
}

void AddLayer(const LayerWeights& layer, std::vector<uint32_t>& schedule) {
  const auto add = [&](const Matrix& matrix) { schedule.push_back(matrix.weights.tensor_index); };
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

std::vector<uint32_t> ScheduleOfLayers(const Weights& weights, uint32_t first, uint32_t end,
                                       bool has_output) {
  std::vector<uint32_t> schedule;
  for (uint32_t layer = first; layer < end; ++layer) AddLayer(weights.layers[layer], schedule);
  if (has_output) schedule.push_back(weights.output.weights.tensor_index);
  return schedule;
}

}  // namespace

// Collects vectors one after another; with an address it says where they will lie.
class DeviceWeights::Vectors {
 public:
  explicit Vectors(uint64_t address) : address_(address) {}

  // All parts as one vector; none when all are empty.
  DeviceVector Add(std::initializer_list<std::span<const float>> parts) {
    const size_t offset = values_.size();
    for (const auto part : parts) values_.insert(values_.end(), part.begin(), part.end());
    if (values_.size() == offset) return {};
    values_.resize(AlignUp(values_.size(), kVectorAlignment / sizeof(float)));
    return {address_ + offset * sizeof(float)};
  }
  std::span<const float> values() const { return values_; }

 private:
  uint64_t address_;
  std::vector<float> values_;
};

DeviceLayer DeviceWeights::PlaceLayer(const Model& model, const LayerWeights& layer,
                                      Vectors& vectors) const {
  DeviceLayer placed;
  placed.attention_norm = vectors.Add({layer.attention_norm});
  placed.projection_bias = vectors.Add({layer.query.bias, layer.key.bias, layer.value.bias});
  placed.head_norms = vectors.Add({layer.query_norm, layer.key_norm});
  placed.output_bias = vectors.Add({layer.attention_output.bias});
  placed.feed_forward_norm = vectors.Add({layer.feed_forward_norm});
  placed.query = Describe(model.map(), layer.query.weights);
  placed.key = Describe(model.map(), layer.key.weights);
  placed.value = Describe(model.map(), layer.value.weights);
  placed.attention_output = Describe(model.map(), layer.attention_output.weights);
  if (layer.dense) {
    placed.gate_bias = vectors.Add({layer.dense->gate.bias});
    placed.up_bias = vectors.Add({layer.dense->up.bias});
    placed.down_bias = vectors.Add({layer.dense->down.bias});
    placed.gate = Describe(model.map(), layer.dense->gate.weights);
    placed.up = Describe(model.map(), layer.dense->up.weights);
    placed.down = Describe(model.map(), layer.dense->down.weights);
  } else {
    placed.router = Describe(model.map(), layer.experts->router.weights);
    placed.gates = Describe(model.map(), layer.experts->gates);
    placed.ups = Describe(model.map(), layer.experts->ups);
    placed.downs = Describe(model.map(), layer.experts->downs);
  }
  return placed;
}

void DeviceWeights::Place(const Model& model, Vectors& vectors) {
  const Weights& weights = model.weights();
  layers_.clear();
  for (uint32_t layer = first_layer_; layer < weights.layers.size(); ++layer) {
    layers_.push_back(PlaceLayer(model, weights.layers[layer], vectors));
  }
  output_norm_ = vectors.Add({weights.output_norm});
  output_ = Describe(model.map(), weights.output.weights);
}

uint64_t DeviceWeights::VectorBytes(const Model& model, uint32_t first_layer) {
  DeviceWeights measured;
  measured.first_layer_ = first_layer;
  Vectors vectors(kVectorAlignment);
  measured.Place(model, vectors);
  return vectors.values().size_bytes();
}

Result<DeviceWeights> DeviceWeights::Create(gpu::Device& device, const Model& model,
                                            uint32_t first_layer) {
  for (const uint32_t tensor : DeviceScheduleOf(model.weights(), first_layer, true)) {
    GS_TRY(CheckType(model.map(), tensor));
  }
  for (const LayerWeights& layer : model.weights().layers) {
    if (!layer.experts) continue;
    for (const auto* slices : {&layer.experts->gates, &layer.experts->ups, &layer.experts->downs}) {
      for (const MatrixSlice& slice : *slices) GS_TRY(CheckType(model.map(), slice.tensor_index));
    }
  }
  const uint64_t bytes = VectorBytes(model, first_layer);
  DeviceWeights weights;
  weights.first_layer_ = first_layer;
  GS_ASSIGN(weights.buffer_, gpu::Buffer::Allocate(device, gpu::MemoryKind::kDevice, bytes));
  Vectors vectors(weights.buffer_.address());
  weights.Place(model, vectors);

  GS_ASSIGN(const gpu::Buffer staging,
            gpu::Buffer::Allocate(device, gpu::MemoryKind::kUpload, bytes));
  std::memcpy(staging.mapped(), vectors.values().data(), bytes);
  GS_ASSIGN(gpu::Commands commands, device.compute_queue().Begin());
  commands.Copy(staging, 0, weights.buffer_, 0, bytes);
  GS_ASSIGN(const gpu::TimelinePoint point, device.compute_queue().Submit(std::move(commands)));
  GS_TRY(device.compute_queue().Wait(point.value));
  return weights;
}

std::vector<uint32_t> DeviceScheduleOf(const Weights& weights, uint32_t first_layer,
                                       bool has_output) {
  const auto end = static_cast<uint32_t>(weights.layers.size());
  return ScheduleOfLayers(weights, first_layer, end, has_output);
}

std::vector<uint32_t> HostScheduleOf(const Weights& weights, uint32_t end_layer, bool has_output) {
  return ScheduleOfLayers(weights, 0, end_layer, has_output);
}

}  // namespace gguf_shard
