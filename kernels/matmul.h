// Matrix products on tiles: y = W x, W in column_major pages (core/tile.h), x a batch of
// activations.
//
// The result of an output value depends only on the weights and on its own token: every row is
// summed over its columns in one fixed order by one thread, so results are bit-identical whatever
// the number of threads, the batch size, and the place of the pages. Implementations: ref (scalar
// oracle on dequantized weights, for tests), portable, NEON, AVX2+FMA, AVX-512 VNNI, and AMX for
// batches where AVX-512 serves the rest, with the same bits; chosen once at run time.
// Thread-safety: all functions may run on many threads over disjoint outputs.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "core/tile.h"
#include "kernels/activations.h"

namespace gguf_shard {

enum class KernelIsa : uint8_t { kPortable, kNeon, kAvx2, kAvxVnni, kAvx512Vnni, kAmx };
std::string_view KernelIsaName(KernelIsa isa);
// The best that this processor has; the environment variable
// GGUF_SHARD_ISA=portable|neon|avx2|avxvnni|avx512|amx lowers it (a value the processor lacks, or
// an unknown one, is ignored).
KernelIsa DetectKernelIsa();
// Linux lends tile registers on request: asking about kAmx makes the request, once.
bool KernelIsaIsSupported(KernelIsa isa);

// Whether MatMul has kernels for a type.
bool HasMatMulKernel(TensorType type);

// A run of whole strips of one matrix, contiguous in memory.
struct StripRun {
  TensorType type;
  TileGeometry geometry;
  uint64_t rows;  // of the whole matrix
  uint64_t pages_per_strip;
  uint64_t first_strip;
  uint64_t strip_count;
  const std::byte* pages;  // strip_count * pages_per_strip * 4096 bytes, readable to the end of its
                           // last page
  // What this thread will probably multiply next, or nullptr. Only fetched into the cache.
  const std::byte* next_pages = nullptr;
};

// y[i * y_stride + row] = sum_c W[row][c] * x[tokens[i]][c] for every row of the run's strips and
// every i. `tokens` indexes x (for experts: the tokens routed to this one).
void MatMul(KernelIsa isa, const StripRun& run, const ActivationBatch& x,
            std::span<const uint32_t> tokens, float* y, size_t y_stride);

// Scalar oracle with double accumulation over the unquantized x.values(); for tests.
void MatMulReference(const StripRun& run, const ActivationBatch& x,
                     std::span<const uint32_t> tokens, float* y, size_t y_stride);

}  // namespace gguf_shard
