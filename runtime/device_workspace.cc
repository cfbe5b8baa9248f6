#include "runtime/device_workspace.h"

#include <algorithm>
#include <initializer_list>

#include "core/bytes.h"
#include "core/check.h"
#include "kernels/vulkan/device_arguments.h"

namespace gguf_shard {
namespace {

constexpr uint64_t kBufferAlignment = 256;
constexpr uint64_t kMaxIndex = (uint64_t{1} << 31) - 1;  // what shaders count values with

uint64_t LayerCacheBytes(const Hyperparameters& numbers, const DeviceShape& shape) {
  return uint64_t{numbers.head_count_kv} * shape.context_length *
         (DeviceKvRowBytes(shape.kv_type, numbers.key_length) +
          DeviceKvRowBytes(shape.kv_type, numbers.value_length));
}

}  // namespace

DeviceRows DeviceRows::From(uint64_t row) const {
  DeviceRows rows = *this;
  rows.address += row * stride * sizeof(float);
  rows.packed += row * packed_stride * kPackedVectorBytes;
  return rows;
}

// Deals out parts of a buffer one after another; with no buffer it only adds up their sizes.
class DeviceWorkspace::Layout {
 public:
  Layout() = default;
  explicit Layout(const gpu::Buffer& buffer) : buffer_(&buffer) {}

  void Take(DeviceRows& rows, uint64_t count, uint64_t width) {
    rows.stride = static_cast<uint32_t>(AlignUp(width, 4));
    rows.address = Take(count * rows.stride, sizeof(float));
  }
  struct PackedRows {
    DeviceRows& rows;
    uint64_t count;
    uint64_t width;
  };
  // One place for all: they are packed one after another.
  void TakePacked(std::initializer_list<PackedRows> all) {
    uint64_t vectors = 0;
    for (const PackedRows& each : all) {
      const uint64_t units = DivCeil(each.width, kPackedUnitColumns);
      each.rows.packed_stride = static_cast<uint32_t>(units * kPackedUnitVectors);
      vectors = std::max(vectors, each.count * each.rows.packed_stride);
    }
    const uint64_t address = Take(vectors, kPackedVectorBytes);
    for (const PackedRows& each : all) each.rows.packed = address;
  }
  template <typename T>
  void Take(SharedSpan<T>& part, uint64_t count) {
    const uint64_t offset = used_bytes_;
    part.address = Take(count, sizeof(T));
    if (buffer_ == nullptr) return;
    part.host = {reinterpret_cast<T*>(buffer_->mapped() + offset), count};
  }

  uint64_t used_bytes() const { return std::max<uint64_t>(used_bytes_, kBufferAlignment); }
  bool reachable() const { return largest_count_ <= kMaxIndex; }

 private:
  uint64_t Take(uint64_t count, uint64_t value_bytes) {
    const uint64_t address = buffer_ == nullptr ? 0 : buffer_->address() + used_bytes_;
    used_bytes_ += AlignUp(count * value_bytes, kBufferAlignment);
    largest_count_ = std::max(largest_count_, count);
    return address;
  }

  const gpu::Buffer* buffer_ = nullptr;
  uint64_t used_bytes_ = 0;
  uint64_t largest_count_ = 0;
};

void DeviceWorkspace::Place(const Hyperparameters& numbers, const DeviceShape& shape,
                            Layout& device, Layout& upload, Layout& readback) {
  const uint64_t batch = shape.batch_tokens;
  const uint64_t choices = batch * numbers.expert_used_count;
  const uint64_t pairs = std::max(batch, choices);
  const uint64_t width = numbers.embedding_length;
  device.Take(hidden, batch, width);
  device.Take(branch, batch, width);
  device.Take(normed, std::max<uint64_t>(batch, shape.logit_rows), width);
  device.Take(query, batch, numbers.query_width());
  device.Take(key, batch, numbers.key_width());
  device.Take(value, batch, numbers.value_width());
  device.Take(attended, batch, numbers.attention_width());
  device.Take(gate, pairs, numbers.inner_width());
  device.Take(up, pairs, numbers.inner_width());
  device.Take(router, batch, numbers.expert_count);
  device.Take(expert_output, choices, width);
  device.Take(chosen_weight, 1, choices);
  if (shape.packs_rows) {
    device.TakePacked({{normed, std::max<uint64_t>(batch, shape.logit_rows), width},
                       {attended, batch, numbers.attention_width()},
                       {gate, pairs, numbers.inner_width()}});
  }
  upload.Take(turns, batch * numbers.rope.dimensions);
  upload.Take(places, shape.has_embedding ? batch * 2 : 0);
  upload.Take(pair_rows, choices);
  upload.Take(chosen_pair, choices);
  upload.Take(hidden_in, shape.has_embedding ? 0 : batch * hidden.stride);
  readback.Take(hidden_out, shape.has_output ? 0 : batch * hidden.stride);
  readback.Take(logits, shape.has_output ? uint64_t{shape.logit_rows} * shape.vocab_size : 0);
  readback.Take(chosen, choices);
}

Result<DeviceWorkspaceBytes> DeviceWorkspace::Bytes(const Hyperparameters& numbers,
                                                    const DeviceShape& shape) {
  DeviceWorkspace measured;
  Layout device;
  Layout upload;
  Layout readback;
  measured.Place(numbers, shape, device, upload, readback);
  const uint64_t layer_bytes = LayerCacheBytes(numbers, shape);
  const bool reachable = device.reachable() && upload.reachable() && readback.reachable() &&
                         layer_bytes / sizeof(uint32_t) <= kMaxIndex;
  if (!reachable) {
    return Fail(ErrorCode::kTooLarge,
                "the batch or the context is longer than a device's indices reach");
  }
  return DeviceWorkspaceBytes{
      .activations = device.used_bytes(),
      .cache = layer_bytes * (numbers.layer_count - shape.first_layer),
      .upload = upload.used_bytes(),
      .readback = readback.used_bytes(),
  };
}

Result<DeviceWorkspace> DeviceWorkspace::Create(gpu::Device& device, const Hyperparameters& numbers,
                                                const DeviceShape& shape) {
  using gpu::Buffer;
  using gpu::MemoryKind;
  GS_CHECK(shape.first_layer < numbers.layer_count);
  GS_ASSIGN(const DeviceWorkspaceBytes bytes, Bytes(numbers, shape));
  DeviceWorkspace workspace;
  workspace.first_layer_ = shape.first_layer;
  GS_ASSIGN(workspace.activations_,
            Buffer::Allocate(device, MemoryKind::kDevice, bytes.activations));
  GS_ASSIGN(workspace.upload_, Buffer::Allocate(device, MemoryKind::kUpload, bytes.upload));
  GS_ASSIGN(workspace.readback_, Buffer::Allocate(device, MemoryKind::kReadback, bytes.readback));
  const uint64_t layer_bytes = LayerCacheBytes(numbers, shape);
  for (uint32_t layer = shape.first_layer; layer < numbers.layer_count; ++layer) {
    GS_ASSIGN(Buffer cache, Buffer::Allocate(device, MemoryKind::kDevice, layer_bytes));
    workspace.caches_.push_back(std::move(cache));
  }
  Layout activations(workspace.activations_);
  Layout upload(workspace.upload_);
  Layout readback(workspace.readback_);
  workspace.Place(numbers, shape, activations, upload, readback);
  return workspace;
}

void DeviceWorkspace::CopyHiddenIn(gpu::Commands& commands, uint64_t bytes) const {
  commands.Copy(upload_, hidden_in.address - upload_.address(), activations_,
                hidden.address - activations_.address(), bytes);
}

void DeviceWorkspace::CopyHiddenOut(gpu::Commands& commands, uint64_t bytes) const {
  commands.Copy(activations_, hidden.address - activations_.address(), readback_,
                hidden_out.address - readback_.address(), bytes);
}

}  // namespace gguf_shard
