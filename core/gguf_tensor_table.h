// Private to the GGUF reader: what a tensor table must satisfy as a whole. Pure; thread-safe.
#pragma once

#include <cstdint>
#include <span>

#include "core/error.h"
#include "core/gguf.h"

namespace gguf_shard {

// The tensor type of an id in a file; kUnsupported names one that is unknown or was removed.
Result<TensorType> TensorTypeFromId(uint32_t type_id);

// The number of elements; kMalformed when the product of the dimensions overflows. Dimensions of 0
// do not hide the overflow of the others: later code multiplies parts of the shape.
Result<uint64_t> ElementCount(std::span<const uint64_t> shape);

// Every offset is aligned, every tensor lies within the `data_bytes` bytes of the data section, and
// no two share a byte.
Result<void> CheckTensorTable(std::span<const GgufTensor> tensors, uint64_t alignment,
                              uint64_t data_bytes);

}  // namespace gguf_shard
