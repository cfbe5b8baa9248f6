#include "forge/layout_choice.h"

namespace gguf_shard {
namespace {

// A "vector" above this is no vector that one wants pinned in memory.
constexpr uint64_t kMaxHighVectorBytes = uint64_t{4} << 20;

// Dimensions without the ones behind the last real one: [256, 64, 1] is a matrix.
size_t EffectiveDims(const GgufTensor& tensor) {
  size_t dims = tensor.shape.size();
  while (dims > 0 && tensor.shape[dims - 1] == 1) --dims;
  return dims;
}

uint64_t SliceCount(const GgufTensor& tensor, const TensorRole& role) {
  const bool stacked = role.use == TensorUse::kExperts && tensor.shape.size() == 3;
  return stacked && tensor.element_count > 0 ? tensor.shape[2] : 1;
}

bool IsMultiplied(const GgufTensor& tensor, const TensorRole& role, const LayoutContext& context) {
  switch (role.use) {
    case TensorUse::kExperts:
      return tensor.shape.size() == 2 || tensor.shape.size() == 3;
    case TensorUse::kMatrix:
    case TensorUse::kRouter:
      return EffectiveDims(tensor) == 2;
    case TensorUse::kGathered:
      return EffectiveDims(tensor) == 2 &&
             ((context.tied_embedding && tensor.name == "token_embd.weight") ||
              context.policy == LayoutPolicy::kColumnMajor);
    case TensorUse::kSmallVector:
      return false;
  }
  return false;
}

}  // namespace

LayoutContext LayoutContextOf(const GgufModel& model, LayoutPolicy policy) {
  LayoutContext context{policy, true};
  for (const auto& tensor : model.tensors) {
    if (tensor.tensor->name == "output.weight") context.tied_embedding = false;
  }
  return context;
}

Result<TensorLayout> ChooseLayout(const GgufTensor& tensor, const TensorRole& role,
                                  const LayoutContext& context) {
  const uint64_t slices = SliceCount(tensor, role);
  GS_ASSIGN(const TensorLayout rows,
            MakeTensorLayout(tensor.type, tensor.shape, slices, MemoryLayout::kRowMajor, 0, 0));
  const bool tiled = GetTensorType(tensor.type).has_tile_layout() && tensor.element_count > 0 &&
                     context.policy != LayoutPolicy::kRowMajor &&
                     IsMultiplied(tensor, role, context);
  if (!tiled) return rows;
  const TileShape shape = ChooseTileShape(tensor.type, rows.columns, rows.rows);
  GS_ASSIGN(const TensorLayout columns,
            MakeTensorLayout(tensor.type, tensor.shape, slices, MemoryLayout::kColumnMajor,
                             shape.rows, shape.columns));
  return columns.pages_per_strip() * kPageBytes > kMaxUnitBytes ? rows : columns;
}

Zone ChooseZone(const GgufTensor& tensor, const TensorRole& role, const TensorLayout& layout) {
  if (role.use == TensorUse::kRouter) return Zone::kHigh;
  const bool gathered = role.use == TensorUse::kGathered;
  if (gathered && layout.layout == MemoryLayout::kRowMajor) return Zone::kCold;
  const bool vector = role.use == TensorUse::kSmallVector || tensor.shape.size() <= 1;
  return vector && tensor.byte_size <= kMaxHighVectorBytes ? Zone::kHigh : Zone::kNormal;
}

}  // namespace gguf_shard
