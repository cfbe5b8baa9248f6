#include "kernels/activations.h"

#include <cstring>

#include "core/bytes.h"
#include "core/check.h"
#include "kernels/cpu/quantize_task.h"
#include "kernels/matmul.h"

namespace gguf_shard {
namespace {

static_assert(sizeof(ActivationGroup) == 64 && sizeof(ActivationFactors) == 16);

uint32_t PaddedColumns(uint32_t columns) {
  const uint64_t padded = AlignUp(columns, ActivationBatch::kColumnAlignment);
  GS_CHECK(padded <= UINT32_MAX);
  return static_cast<uint32_t>(padded);
}

QuantizeKernel ChooseQuantizeKernel() {
  switch (DetectKernelIsa()) {
#if defined(__x86_64__)
    case KernelIsa::kAmx:
    case KernelIsa::kAvx512Vnni:
      return avx512::QuantizeGroups;
    case KernelIsa::kAvxVnni:
    case KernelIsa::kAvx2:
      return avx2::QuantizeGroups;
#elif defined(__aarch64__)
    case KernelIsa::kNeon:
      return neon::QuantizeGroups;
#endif
    default:
      return portable::QuantizeGroups;
  }
}

}  // namespace

// 2 bytes of integers and 4 of values per column, 16 bytes per group, the skew.
uint64_t ActivationBatch::TokenLines(uint32_t padded_columns) {
  const uint64_t groups = padded_columns / kGroupColumns;
  const uint64_t bytes = groups * (sizeof(ActivationGroup) + sizeof(ActivationFactors)) +
                         uint64_t{padded_columns} * sizeof(float);
  return bytes / sizeof(Line) + 1;
}

uint64_t ActivationBatch::ReserveBytes(uint32_t max_tokens, uint32_t max_columns) {
  return max_tokens * TokenLines(PaddedColumns(max_columns)) * sizeof(Line);
}

void ActivationBatch::Reserve(uint32_t max_tokens, uint32_t max_columns) {
  const uint64_t lines = max_tokens * TokenLines(PaddedColumns(max_columns));
  if (lines > lines_.size()) lines_.resize(lines);
}

void ActivationBatch::Resize(uint32_t tokens, uint32_t columns) {
  const uint32_t padded_columns = PaddedColumns(columns);
  const uint64_t token_lines = TokenLines(padded_columns);
  GS_CHECK(tokens * token_lines <= lines_.size());
  tokens_ = tokens;
  columns_ = columns;
  padded_columns_ = padded_columns;
  token_lines_ = token_lines;
}

void ActivationBatch::Quantize(uint32_t token, const float* values) {
  GS_CHECK(token < tokens_);
  static const QuantizeKernel kernel = ChooseQuantizeKernel();
  auto* bytes = reinterpret_cast<std::byte*>(lines_.data() + token * token_lines_);
  auto* copy = reinterpret_cast<float*>(bytes + values_offset());
  std::memcpy(copy, values, columns_ * sizeof(float));
  std::memset(copy + columns_, 0, (padded_columns_ - columns_) * sizeof(float));
  kernel(copy, padded_columns_ / kGroupColumns, reinterpret_cast<ActivationGroup*>(bytes),
         reinterpret_cast<ActivationFactors*>(bytes + factors_offset()));
}

}  // namespace gguf_shard
