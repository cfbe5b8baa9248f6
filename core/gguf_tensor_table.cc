#include "core/gguf_tensor_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "core/bytes.h"

namespace gguf_shard {
namespace {

struct RemovedType {
  uint32_t id;
  std::string_view name;
};
// Ids that GGUF files once had and that were withdrawn; never reused.
constexpr RemovedType kRemovedTypes[] = {
    {4, "Q4_2"},      {5, "Q4_3"},        {31, "Q4_0_4_4"},   {32, "Q4_0_4_8"},
    {33, "Q4_0_8_8"}, {36, "IQ4_NL_4_4"}, {37, "IQ4_NL_4_8"}, {38, "IQ4_NL_8_8"},
};

// Other engines hold counts in signed 64-bit integers.
constexpr uint64_t kMaxElements = std::numeric_limits<int64_t>::max();

std::string ShapeText(std::span<const uint64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

Result<void> CheckPlace(const GgufTensor& tensor, uint64_t alignment, uint64_t data_bytes) {
  if (tensor.data_offset % alignment != 0) {
    return Fail(Error(ErrorCode::kMalformed, "a tensor's offset is not aligned")
                    .Tensor(tensor.name)
                    .Expected(fmt::format("a multiple of {}", alignment))
                    .Found(tensor.data_offset));
  }
  // The bytes behind the last tensor's padding are the furthest place of an empty tensor.
  const uint64_t limit_bytes = tensor.byte_size == 0 ? AlignUp(data_bytes, alignment) : data_bytes;
  if (tensor.data_offset > limit_bytes || tensor.byte_size > limit_bytes - tensor.data_offset) {
    return Fail(Error(ErrorCode::kTruncated, "the file ends before the end of a tensor's data")
                    .Tensor(tensor.name)
                    .Offset(tensor.data_offset)
                    .Expected(fmt::format("{} bytes", tensor.byte_size))
                    .Found(fmt::format("a data section of {} bytes", data_bytes)));
  }
  return {};
}

Result<void> CheckDisjoint(std::span<const GgufTensor> tensors) {
  std::vector<uint32_t> order;
  order.reserve(tensors.size());
  for (uint32_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].byte_size != 0) order.push_back(i);
  }
  std::sort(order.begin(), order.end(), [&tensors](uint32_t a, uint32_t b) {
    return tensors[a].data_offset < tensors[b].data_offset;
  });
  for (size_t i = 1; i < order.size(); ++i) {
    const GgufTensor& before = tensors[order[i - 1]];
    const GgufTensor& tensor = tensors[order[i]];
    if (tensor.data_offset < before.data_offset + before.byte_size) {
      return Fail(
          Error(ErrorCode::kMalformed, fmt::format("a tensor overlaps the tensor {}", before.name))
              .Tensor(tensor.name)
              .Offset(tensor.data_offset)
              .Expected(
                  fmt::format("an offset of at least {}", before.data_offset + before.byte_size))
              .Found(tensor.data_offset));
    }
  }
  return {};
}

}  // namespace

Result<TensorType> TensorTypeFromId(uint32_t type_id) {
  if (const TensorTypeInfo* info = FindTensorType(type_id)) return info->type;
  for (const RemovedType& removed : kRemovedTypes) {
    if (removed.id == type_id) {
      return Fail(Error(ErrorCode::kUnsupported,
                        fmt::format("tensor type {} was removed from GGUF: convert the model anew",
                                    removed.name))
                      .Found(type_id));
    }
  }
  return Fail(Error(ErrorCode::kUnsupported, "unknown tensor type").Found(type_id));
}

Result<uint64_t> ElementCount(std::span<const uint64_t> shape) {
  uint64_t product = 1;  // of the dimensions that are not 0
  bool empty = false;
  for (const uint64_t dimension : shape) {
    if (dimension == 0) {
      empty = true;
      continue;
    }
    const auto next = CheckedMul(product, dimension);
    if (!next || *next > kMaxElements) {
      return Fail(Error(ErrorCode::kMalformed, "the product of a tensor's dimensions overflows")
                      .Expected(fmt::format("at most {} elements", kMaxElements))
                      .Found(ShapeText(shape)));
    }
    product = *next;
  }
  return empty ? 0 : product;
}

Result<uint64_t> TensorBytes(TensorType type, std::span<const uint64_t> shape) {
  const TensorTypeInfo& info = GetTensorType(type);
  GS_ASSIGN(const uint64_t element_count, ElementCount(shape));
  const uint64_t columns = shape.empty() ? 1 : shape[0];
  if (columns % info.block_weights != 0) {
    return Fail(Error(ErrorCode::kMalformed,
                      fmt::format("a row is not a whole number of {} blocks", info.name))
                    .Expected(fmt::format("a multiple of {} columns", info.block_weights))
                    .Found(columns));
  }
  const auto byte_size = CheckedMul(element_count / info.block_weights, info.block_bytes);
  if (!byte_size || *byte_size > kMaxElements) {
    return Fail(Error(ErrorCode::kMalformed, "the size of a tensor overflows")
                    .Expected(fmt::format("at most {} bytes", kMaxElements))
                    .Found(fmt::format("{} {}", info.name, ShapeText(shape))));
  }
  return *byte_size;
}

Result<void> CheckTensorTable(std::span<const GgufTensor> tensors, uint64_t alignment,
                              uint64_t data_bytes) {
  for (const GgufTensor& tensor : tensors) GS_TRY(CheckPlace(tensor, alignment, data_bytes));
  return CheckDisjoint(tensors);
}

}  // namespace gguf_shard
