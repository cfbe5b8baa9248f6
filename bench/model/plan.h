// The tensors of a made model: names, types, shapes, in the order of the file. Byte sizes and
// offsets are filled in by who writes them. Thread-safety: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/model/shape.h"
#include "core/tensor_type.h"

namespace gguf_shard {

// Values that are made rather than drawn.
enum class Made : uint8_t { kNo, kEmbedding, kOutput, kRouter };

struct PlannedTensor {
  std::string name;
  TensorType type;
  std::vector<uint64_t> shape;
  uint64_t offset = 0;
  uint64_t byte_size = 0;
  Made made = Made::kNo;
};

std::vector<PlannedTensor> PlanTensors(const Request& request);

}  // namespace gguf_shard
