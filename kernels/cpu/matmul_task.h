// What the driver (kernels/matmul.cc) hands to a kernel of one instruction set. Plain data without
// a single inline function: it is included by translation units with different compiler flags, and
// an inline function compiled with AVX-512 must never be the copy that the linker keeps.
// Thread-safety: a task is read only; tasks over disjoint outputs may run at once.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/tensor_type.h"

namespace gguf_shard {

struct MatMulTask {
  // The matrix.
  const std::byte* pages;
  const std::byte* next_pages;  // of the next run, probably: what is fetched behind the last page
  uint64_t strip_count;
  uint64_t pages_per_strip;
  uint64_t blocks_per_row;  // of the matrix
  uint64_t row_count;       // rows of the matrix in this run, from the run's first strip on
  uint32_t tile_rows;
  uint32_t tile_blocks;  // blocks per tile row
  uint32_t words_per_block;
  uint32_t short_bytes;
  uint32_t short_planes_offset;

  // The activations.
  const std::byte* x;
  size_t x_token_bytes;
  size_t x_factors_offset;
  size_t x_values_offset;
  const uint32_t* tokens;
  size_t token_count;

  // y[i * y_stride + row], row counted from the run's first.
  float* y;
  size_t y_stride;
};

using MatMulKernel = void (*)(const MatMulTask& task);

// The kernel of a type, or nullptr when the function's group does not hold it. One source per
// instruction set and group keeps compilation parallel.
#define GS_DECLARE_MATMUL_KERNELS(isa)          \
  namespace isa {                               \
  MatMulKernel FloatKernel(TensorType type);    \
  MatMulKernel Block32Kernel(TensorType type);  \
  MatMulKernel Block256Kernel(TensorType type); \
  MatMulKernel Sub16Kernel(TensorType type);    \
  }
GS_DECLARE_MATMUL_KERNELS(portable)
GS_DECLARE_MATMUL_KERNELS(neon)
GS_DECLARE_MATMUL_KERNELS(avx2)
GS_DECLARE_MATMUL_KERNELS(avxvnni)  // quantized types alone: no FloatKernel
GS_DECLARE_MATMUL_KERNELS(avx512)
GS_DECLARE_MATMUL_KERNELS(amx)  // batches of quantized types alone: no FloatKernel
#undef GS_DECLARE_MATMUL_KERNELS

}  // namespace gguf_shard
