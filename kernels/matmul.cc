// The driver: checks a run against its activations, and hands it to the kernel of its type and
// instruction set.
#include "kernels/matmul.h"

#include <algorithm>

#include "core/bytes.h"
#include "core/check.h"
#include "core/page.h"
#include "kernels/cpu/matmul_task.h"

namespace gguf_shard {
namespace {

static_assert(kPageBytes == 4096, "kernels/cpu/strip_walk.h counts on it");
static_assert(kMaxTileRows == 64, "kernels/cpu/strip_walk.h counts on it");

template <class... Groups>
MatMulKernel FirstOf(TensorType type, Groups... groups) {
  MatMulKernel kernel = nullptr;
  ((kernel = kernel != nullptr ? kernel : groups(type)), ...);
  return kernel;
}

MatMulKernel PortableKernel(TensorType type) {
  using namespace portable;
  return FirstOf(type, FloatKernel, Block32Kernel, Block256Kernel, Sub16Kernel);
}

#if defined(__aarch64__)
MatMulKernel NeonKernel(TensorType type) {
  using namespace neon;
  return FirstOf(type, FloatKernel, Block32Kernel, Block256Kernel, Sub16Kernel);
}
#endif

#if defined(__x86_64__)
MatMulKernel Avx2Kernel(TensorType type) {
  using namespace avx2;
  return FirstOf(type, FloatKernel, Block32Kernel, Block256Kernel, Sub16Kernel);
}

MatMulKernel AvxVnniKernel(TensorType type) {
  using namespace avxvnni;
  return FirstOf(type, avx2::FloatKernel, Block32Kernel, Block256Kernel, Sub16Kernel);
}

MatMulKernel Avx512Kernel(TensorType type) {
  using namespace avx512;
  return FirstOf(type, FloatKernel, Block32Kernel, Block256Kernel, Sub16Kernel);
}

MatMulKernel AmxKernel(TensorType type) {
  using namespace amx;
  return FirstOf(type, Block32Kernel, Block256Kernel, Sub16Kernel);
}
#endif

MatMulKernel KernelOf(KernelIsa isa, TensorType type) {
#if defined(__x86_64__)
  if (isa == KernelIsa::kAvx512Vnni || isa == KernelIsa::kAmx) return Avx512Kernel(type);
  if (isa == KernelIsa::kAvxVnni) return AvxVnniKernel(type);
  if (isa == KernelIsa::kAvx2) return Avx2Kernel(type);
#elif defined(__aarch64__)
  if (isa == KernelIsa::kNeon) return NeonKernel(type);
#endif
  GS_CHECK(isa == KernelIsa::kPortable);
  return PortableKernel(type);
}

#if defined(__x86_64__)
// How many tokens, from the first, go through tile registers: these take 16 at a time, and are
// worth their while from about 11 on.
size_t TileTokens(KernelIsa isa, size_t token_count) {
  constexpr size_t kTokensOfTile = 16;
  constexpr size_t kWorthATile = 11;
  if (isa != KernelIsa::kAmx) return 0;
  const size_t rest = token_count % kTokensOfTile;
  return rest < kWorthATile ? token_count - rest : token_count;
}
#endif

void Run(MatMulKernel kernel, MatMulTask task, size_t first_token, size_t token_count) {
  if (token_count == 0) return;
  task.tokens += first_token;
  task.token_count = token_count;
  task.y += first_token * task.y_stride;
  kernel(task);
}

void RunBatch(KernelIsa isa, TensorType type, const MatMulTask& task) {
  size_t tile_tokens = 0;
#if defined(__x86_64__)
  if (const MatMulKernel tiles = AmxKernel(type); tiles != nullptr) {
    tile_tokens = TileTokens(isa, task.token_count);
    Run(tiles, task, 0, tile_tokens);
  }
#endif
  Run(KernelOf(isa, type), task, tile_tokens, task.token_count - tile_tokens);
}

void CheckRun(const StripRun& run, const ActivationBatch& x, std::span<const uint32_t> tokens) {
  const TensorTypeInfo& info = GetTensorType(run.type);
  const TileGeometry& geometry = run.geometry;
  GS_CHECK(geometry.rows >= 1 && geometry.rows <= kMaxTileRows);
  GS_CHECK(geometry.blocks_per_row * info.block_weights == geometry.columns);
  GS_CHECK(geometry.words_per_block == info.words_per_block());
  GS_CHECK(geometry.short_bytes == info.short_bytes);
  GS_CHECK(x.columns() % info.block_weights == 0);
  GS_CHECK(run.pages_per_strip == DivCeil(x.columns(), geometry.columns));
  for (const uint32_t token : tokens) GS_CHECK(token < x.tokens());
}

}  // namespace

bool HasMatMulKernel(TensorType type) { return PortableKernel(type) != nullptr; }

void MatMul(KernelIsa isa, const StripRun& run, const ActivationBatch& x,
            std::span<const uint32_t> tokens, float* y, size_t y_stride) {
  CheckRun(run, x, tokens);
  GS_CHECK(HasMatMulKernel(run.type));
  const uint64_t first_row = run.first_strip * run.geometry.rows;
  if (first_row >= run.rows || tokens.empty()) return;

  MatMulTask task;
  task.pages = run.pages;
  task.next_pages = run.next_pages != nullptr
                        ? run.next_pages
                        : run.pages + run.strip_count * run.pages_per_strip * kPageBytes;
  task.strip_count = run.strip_count;
  task.pages_per_strip = run.pages_per_strip;
  task.blocks_per_row = x.columns() / GetTensorType(run.type).block_weights;
  task.row_count = std::min(run.rows - first_row, run.strip_count * run.geometry.rows);
  task.tile_rows = run.geometry.rows;
  task.tile_blocks = run.geometry.blocks_per_row;
  task.words_per_block = run.geometry.words_per_block;
  task.short_bytes = run.geometry.short_bytes;
  task.short_planes_offset = run.geometry.short_planes_offset;
  task.x = x.data();
  task.x_token_bytes = x.token_stride_bytes();
  task.x_factors_offset = x.factors_offset();
  task.x_values_offset = x.values_offset();
  task.tokens = tokens.data();
  task.token_count = tokens.size();
  task.y = y + first_row;
  task.y_stride = y_stride;
  RunBatch(isa, run.type, task);
}

}  // namespace gguf_shard
