#include "runtime/tensor_binder.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <limits>

#include "core/bytes.h"
#include "kernels/dequantize.h"
#include "kernels/matmul.h"
#include "runtime/memory_block.h"

namespace gguf_shard {
namespace {

// Dimensions without trailing ones, which writers add and leave out as they like.
std::span<const uint64_t> Trimmed(std::span<const uint64_t> shape) {
  while (shape.size() > 1 && shape.back() == 1) shape = shape.first(shape.size() - 1);
  return shape;
}

std::string ShapeText(std::span<const uint64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

}  // namespace

TensorBinder::TensorBinder(const CoreFile& core)
    : core_(core), used_(core.map().tensors.size(), false) {
  for (uint32_t index = 0; index < core.map().tensors.size(); ++index) {
    tensors_.emplace(core.map().tensors[index].name, index);
  }
}

Result<uint32_t> TensorBinder::RowCount(const std::string& name, uint32_t columns) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    return Fail(Error(ErrorCode::kNotFound, "the model lacks a tensor").Tensor(name));
  }
  const auto& shape = core_.map().tensors[found->second].shape;
  if (shape.size() < 2 || shape[0] != columns || shape[1] == 0 ||
      shape[1] > std::numeric_limits<int32_t>::max()) {
    return Fail(Error(ErrorCode::kMalformed, "a tensor's shape contradicts the metadata")
                    .Tensor(name)
                    .Expected(fmt::format("[{}, rows]", columns))
                    .Found(ShapeText(shape)));
  }
  return static_cast<uint32_t>(shape[1]);
}

Result<uint32_t> TensorBinder::Find(const std::string& name, std::span<const uint64_t> shape) {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    return Fail(Error(ErrorCode::kNotFound, "the model lacks a tensor").Tensor(name));
  }
  const MapTensor& tensor = core_.map().tensors[found->second];
  const auto actual = Trimmed(tensor.shape);
  if (!std::ranges::equal(actual, Trimmed(shape))) {
    return Fail(Error(ErrorCode::kMalformed, "a tensor's shape contradicts the metadata")
                    .Tensor(name)
                    .Expected(ShapeText(shape))
                    .Found(ShapeText(tensor.shape)));
  }
  used_[found->second] = true;
  return found->second;
}

Result<void> TensorBinder::CheckMultiplied(const MapTensor& tensor, uint64_t slice_count) const {
  if (!HasMatMulKernel(tensor.layout.type)) {
    return Fail(Error(ErrorCode::kUnsupported, fmt::format("no kernels for tensors of type {}",
                                                           TensorTypeName(tensor.layout.type)))
                    .Tensor(tensor.name));
  }
  if (tensor.layout.layout != MemoryLayout::kColumnMajor) {
    return Fail(Error(ErrorCode::kUnsupported,
                      "a multiplied matrix must be stored as tiles; shard the model again with "
                      "the column_major layout")
                    .Tensor(tensor.name));
  }
  if (tensor.layout.slice_count != slice_count) {
    return Fail(Error(ErrorCode::kMalformed, "a tensor is cut into the wrong number of slices")
                    .Tensor(tensor.name)
                    .Expected(slice_count)
                    .Found(tensor.layout.slice_count));
  }
  return {};
}

Result<Matrix> TensorBinder::Multiplied(const std::string& name, uint32_t rows, uint32_t columns) {
  const std::array<uint64_t, 2> shape = {columns, rows};
  GS_ASSIGN(const uint32_t index, Find(name, shape));
  GS_TRY(CheckMultiplied(core_.map().tensors[index], 1));
  return Matrix{.weights = {index, 0}, .rows = rows, .columns = columns, .bias = {}};
}

Result<Matrix> TensorBinder::Gathered(const std::string& name, uint32_t rows, uint32_t columns) {
  const std::array<uint64_t, 2> shape = {columns, rows};
  GS_ASSIGN(const uint32_t index, Find(name, shape));
  const MapTensor& tensor = core_.map().tensors[index];
  if (!CanDequantize(tensor.layout.type)) {
    return Fail(Error(ErrorCode::kUnsupported, fmt::format("no reader for tensors of type {}",
                                                           TensorTypeName(tensor.layout.type)))
                    .Tensor(name));
  }
  return Matrix{.weights = {index, 0}, .rows = rows, .columns = columns, .bias = {}};
}

Result<std::vector<MatrixSlice>> TensorBinder::Experts(const std::string& prefix, uint32_t count,
                                                       uint32_t rows, uint32_t columns) {
  std::vector<MatrixSlice> slices(count);
  if (const std::string merged = prefix + "_exps.weight"; Has(merged)) {
    const std::array<uint64_t, 3> shape = {columns, rows, count};
    GS_ASSIGN(const uint32_t index, Find(merged, shape));
    GS_TRY(CheckMultiplied(core_.map().tensors[index], count));
    for (uint32_t expert = 0; expert < count; ++expert) slices[expert] = {index, expert};
    return slices;
  }
  if (!Has(prefix + ".0.weight")) {
    return Fail(
        Error(ErrorCode::kNotFound, "the model lacks a tensor").Tensor(prefix + "_exps.weight"));
  }
  for (uint32_t expert = 0; expert < count; ++expert) {
    GS_ASSIGN(const Matrix matrix,
              Multiplied(fmt::format("{}.{}.weight", prefix, expert), rows, columns));
    slices[expert] = matrix.weights;
  }
  return slices;
}

Result<std::vector<float>> TensorBinder::Vector(const std::string& name, uint32_t count,
                                                Presence presence) {
  if (presence == Presence::kAbsent) return std::vector<float>();
  if (presence == Presence::kOptional && !Has(name)) return std::vector<float>();
  const std::array<uint64_t, 1> shape = {count};
  GS_ASSIGN(const uint32_t index, Find(name, shape));
  return ReadVector(core_.map().tensors[index]);
}

Result<std::vector<float>> TensorBinder::ReadVector(const MapTensor& tensor) const {
  const TensorLayout& layout = tensor.layout;
  if (!CanDequantize(layout.type) || layout.slice_count != 1 || layout.rows != 1) {
    return Fail(Error(ErrorCode::kUnsupported,
                      fmt::format("no reader for a vector of type {} and this layout",
                                  TensorTypeName(layout.type)))
                    .Tensor(tensor.name));
  }
  // Page-aligned, as direct reads demand.
  GS_ASSIGN(const MemoryBlock pages,
            MemoryBlock::Allocate(layout.page_count * kPageBytes, "a tensor's pages"));
  GS_TRY(core_.ReadPages(tensor.first_page, pages.bytes()));
  std::vector<std::byte> blocks(layout.row_bytes);
  CopyRow(layout, 0, 0, pages.bytes(), blocks);
  std::vector<float> values(layout.columns);
  Dequantize(layout.type, blocks, values);
  return values;
}

Result<void> TensorBinder::CheckAllUsed() const {
  const auto unused = std::find(used_.begin(), used_.end(), false);
  if (unused == used_.end()) return {};
  const auto index = static_cast<size_t>(unused - used_.begin());
  return Fail(Error(ErrorCode::kUnsupported,
                    "the model has a tensor that its architecture does not use here")
                  .Tensor(core_.map().tensors[index].name));
}

}  // namespace gguf_shard
