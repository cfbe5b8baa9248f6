// Finds the tensors of a core by name and checks them against what the model needs.
// For one thread, while a model is loaded.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/core_file.h"
#include "runtime/architecture.h"
#include "runtime/weights.h"

namespace gguf_shard {

class TensorBinder {
 public:
  explicit TensorBinder(const CoreFile& core);

  bool Has(const std::string& name) const { return tensors_.contains(name); }
  // Columns of a tensor that must exist, 0 rows known yet: the second dimension of `name`.
  Result<uint32_t> RowCount(const std::string& name, uint32_t columns) const;

  // A matrix that kernels multiply with.
  Result<Matrix> Multiplied(const std::string& name, uint32_t rows, uint32_t columns);
  // A matrix whose rows are gathered.
  Result<Matrix> Gathered(const std::string& name, uint32_t rows, uint32_t columns);
  // One matrix per expert: a tensor of experts "PREFIX_exps.weight", or the older form of one
  // tensor per expert, "PREFIX.E.weight".
  Result<std::vector<MatrixSlice>> Experts(const std::string& prefix, uint32_t count, uint32_t rows,
                                           uint32_t columns);
  // A vector as f32; empty when it is absent and may be.
  Result<std::vector<float>> Vector(const std::string& name, uint32_t count, Presence presence);

  // kUnsupported names a tensor that nothing asked for.
  Result<void> CheckAllUsed() const;

 private:
  Result<uint32_t> Find(const std::string& name, std::span<const uint64_t> shape);
  Result<void> CheckMultiplied(const MapTensor& tensor, uint64_t slice_count) const;
  Result<std::vector<float>> ReadVector(const MapTensor& tensor) const;

  const CoreFile& core_;
  std::unordered_map<std::string_view, uint32_t> tensors_;
  std::vector<bool> used_;
};

}  // namespace gguf_shard
