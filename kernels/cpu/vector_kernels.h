// The functions behind kernels/vector_ops.h, one table for each instruction set. Plain data:
// sources with different compiler flags include it. Thread-safety: pure functions over the caller's
// memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/attend_task.h"

namespace gguf_shard {

struct VectorKernels {
  void (*rms_norm)(const float* x, const float* weight, float epsilon, size_t count, float* y);
  void (*add_in_place)(float* x, const float* y, size_t count);
  void (*add_scaled)(float* x, const float* y, float factor, size_t count);
  void (*swi_glu)(const float* gate, const float* up, size_t count, float* y);
  void (*softmax)(float* x, size_t count);

  void (*store_f16)(const float* values, size_t count, std::byte* row);
  void (*store_q8)(const float* values, size_t count, std::byte* row);
  void (*load_f32)(const std::byte* row, size_t count, float* values);
  void (*load_f16)(const std::byte* row, size_t count, float* values);
  void (*load_q8)(const std::byte* row, size_t count, float* values);

  void (*attend_f32)(const AttendTask& task);
  void (*attend_f16)(const AttendTask& task);
  void (*attend_q8)(const AttendTask& task);

  void (*rotate_adjacent)(const float* cosine_sine, size_t pair_count, float* head);
  void (*rotate_halves)(const float* cosine_sine, size_t pair_count, float* head);
};

namespace portable {
extern const VectorKernels kVectorKernels;
}
namespace neon {
extern const VectorKernels kVectorKernels;
}
namespace avx2 {
extern const VectorKernels kVectorKernels;
}
namespace avx512 {
extern const VectorKernels kVectorKernels;
}

}  // namespace gguf_shard
