// The oracle of all matrix kernels: rebuilds every block from the planes of its tile, dequantizes
// it exactly, and sums products of the unquantized activations in double. Knows nothing of SIMD.
#include <algorithm>
#include <cstring>
#include <vector>

#include "core/bytes.h"
#include "core/check.h"
#include "core/page.h"
#include "kernels/dequantize.h"
#include "kernels/matmul.h"

namespace gguf_shard {
namespace {

// Gathers block `block` of tile row `row` into the order of the source file.
void GatherBlock(const TensorTypeInfo& info, const TileGeometry& geometry, const std::byte* page,
                 uint32_t block, uint32_t row, std::byte* target) {
  for (uint32_t word = 0; word < geometry.words_per_block; ++word) {
    std::memcpy(target + info.words_offset() + word * 4,
                page + geometry.word_plane_offset(block, word) + row * 4, 4);
  }
  std::memcpy(target + info.short_offset,
              page + geometry.short_plane_offset(block) + row * geometry.short_bytes,
              geometry.short_bytes);
}

// The weights of one matrix row, from the pages of its strip.
void GatherRow(const StripRun& run, const std::byte* strip, uint32_t row,
               std::span<float> weights) {
  const TensorTypeInfo& info = GetTensorType(run.type);
  std::vector<std::byte> block_bytes(info.block_bytes);
  std::vector<float> block_weights(info.block_weights);
  for (size_t column = 0; column < weights.size(); column += info.block_weights) {
    const std::byte* page = strip + column / run.geometry.columns * kPageBytes;
    const auto block = static_cast<uint32_t>(column % run.geometry.columns / info.block_weights);
    GatherBlock(info, run.geometry, page, block, row, block_bytes.data());
    Dequantize(run.type, block_bytes, block_weights);
    const size_t count = std::min<size_t>(info.block_weights, weights.size() - column);
    std::copy_n(block_weights.begin(), count, weights.begin() + static_cast<ptrdiff_t>(column));
  }
}

}  // namespace

void MatMulReference(const StripRun& run, const ActivationBatch& x,
                     std::span<const uint32_t> tokens, float* y, size_t y_stride) {
  GS_CHECK(run.pages_per_strip == DivCeil(x.columns(), run.geometry.columns));
  std::vector<float> weights(x.columns());
  for (uint64_t strip = 0; strip < run.strip_count; ++strip) {
    const std::byte* pages = run.pages + strip * run.pages_per_strip * kPageBytes;
    for (uint32_t tile_row = 0; tile_row < run.geometry.rows; ++tile_row) {
      const uint64_t row = (run.first_strip + strip) * run.geometry.rows + tile_row;
      if (row >= run.rows) break;
      GatherRow(run, pages, tile_row, weights);
      for (size_t i = 0; i < tokens.size(); ++i) {
        const float* values = x.values(tokens[i]);
        double sum = 0;
        for (size_t c = 0; c < weights.size(); ++c) sum += double{weights[c]} * double{values[c]};
        y[i * y_stride + row] = static_cast<float>(sum);
      }
    }
  }
}

}  // namespace gguf_shard
