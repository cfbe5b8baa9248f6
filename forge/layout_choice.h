// Which memory layout, tile shape and zone a tensor gets. Thread-safety: pure functions.
#pragma once

#include "core/error.h"
#include "core/gguf_model.h"
#include "core/map.h"
#include "forge/plan.h"
#include "forge/tensor_role.h"

namespace gguf_shard {

// What the choice for one tensor needs to know of the model.
struct LayoutContext {
  LayoutPolicy policy = LayoutPolicy::kAuto;
  // The model has no output matrix of its own: the embedding is also multiplied, as the output.
  bool tied_embedding = false;
};
LayoutContext LayoutContextOf(const GgufModel& model, LayoutPolicy policy);

// Experts become slices in every layout; a matrix with a tile layout gets the shape with the fewest
// pages.
Result<TensorLayout> ChooseLayout(const GgufTensor& tensor, const TensorRole& role,
                                  const LayoutContext& context);

// high: vectors and routers, needed whole on every pass. cold: gathered tables, of which a pass
// needs a few rows. normal: matrices and experts.
Zone ChooseZone(const GgufTensor& tensor, const TensorRole& role, const TensorLayout& layout);

}  // namespace gguf_shard
