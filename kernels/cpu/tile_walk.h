// Batches of tokens on processors with tile registers. Every page is unpacked once for up to
// kChunkTokens tokens (panel.h); integer products come from the tile registers, 16 tokens x 16 rows
// at a time, and are added up as quantized_tile.h does it:
//   sum = fma(offset, x_sum, fma(dot * x_scale, scale, sum))
// in the same order, so a token's results are the same bits, whichever kernel computes them.
//
// The last 16 tokens of a batch may overlap those before; what both compute is the same. Batches of
// fewer, and tokens that do not lie at even distances (experts), are copied to a buffer, panel by
// panel. Thread-safety: pure functions over a task.
#pragma once

#include "kernels/activations.h"
#include "kernels/cpu/panel.h"
#include "kernels/cpu/strip_walk.h"

namespace gguf_shard {

template <class Simd, template <class> class Decoder>
class TileWalk {
  using F32 = typename Simd::F32;
  using I32 = typename Simd::I32;
  using PagePanel = Panel<Simd, Decoder>;
  static constexpr uint32_t kLanes = Simd::kLanes;
  static constexpr uint32_t kTokens = Simd::kTileTokens;
  static constexpr uint32_t kSubColumns = PagePanel::kSubColumns;
  static constexpr uint32_t kMaxVectors = PagePanel::kMaxVectors;
  static constexpr uint32_t kChunkBlocks = 8;
  static constexpr uint32_t kChunkTokens = kChunkBlocks * kTokens;
  static constexpr uint32_t kMaxGroups = PagePanel::kMaxColumns / 32;

 public:
  static void Run(const MatMulTask& task) {
    Simd::Configure(PagePanel::kWords);
    for (size_t token = 0; token < task.token_count; token += kChunkTokens) {
      const size_t left = task.token_count - token;
      Chunk(task, token, left < kChunkTokens ? left : kChunkTokens);
    }
    Simd::Release();
  }

 private:
  // 16 tokens of a panel: group and factors of token t at t * stride.
  struct Block {
    const std::byte* groups;
    const std::byte* factors;
    size_t stride;
  };
  struct Scratch {
    PagePanel panel;
    alignas(64) float sums[kChunkBlocks][kMaxVectors][kTokens][kLanes];
    alignas(64) int32_t products[2][2 * kTokens][kLanes];
    // Skewed by a line, so that tokens do not fall into the same cache sets.
    alignas(64) std::byte copy[kTokens][kMaxGroups * 80 + 64];
    alignas(64) std::byte padded[kTaskPageBytes + 64];
  };
  struct Rows {
    uint32_t first[kMaxVectors];
    uint32_t count;  // in the strip
    uint32_t vectors;
  };

  static void Chunk(const MatMulTask& task, size_t first_token, size_t token_count) {
    Scratch scratch;
    for (uint64_t strip = 0; strip < task.strip_count; ++strip) {
      const uint64_t first_row = strip * task.tile_rows;
      if (first_row >= task.row_count) break;
      Strip(task, strip, first_row, first_token, token_count, scratch);
    }
  }

  static Rows RowsOf(const MatMulTask& task, uint64_t first_row) {
    const uint64_t left = task.row_count - first_row;
    Rows rows;
    rows.count = static_cast<uint32_t>(left < task.tile_rows ? left : task.tile_rows);
    rows.vectors = (rows.count + kLanes - 1) / kLanes;
    for (uint32_t v = 0; v < rows.vectors; ++v) rows.first[v] = VectorFirstRow<kLanes>(task, v);
    return rows;
  }

  static void Strip(const MatMulTask& task, uint64_t strip, uint64_t first_row, size_t first_token,
                    size_t token_count, Scratch& scratch) {
    const Rows rows = RowsOf(task, first_row);
    const size_t blocks = (token_count + kTokens - 1) / kTokens;
    for (size_t block = 0; block < blocks; ++block) {
      __builtin_memset(scratch.sums[block], 0, rows.vectors * sizeof scratch.sums[block][0]);
    }
    const bool leaves_page = VectorsLeavePage<kLanes>(task);
    for (uint64_t page_index = 0; page_index < task.pages_per_strip; ++page_index) {
      const std::byte* page =
          task.pages + (strip * task.pages_per_strip + page_index) * kTaskPageBytes;
      FetchLines(PageAhead(task, page, kPagesAhead), kPageLines);
      if (leaves_page) page = PadPage(page, scratch.padded);
      Page(task, page_index, page, rows, first_token, token_count, scratch);
    }
    for (size_t block = 0; block < blocks; ++block) {
      const size_t token = BlockToken(task, first_token + block * kTokens);
      const size_t left = task.token_count - token;
      Store(task, scratch.sums[block], rows, first_row, token, left < kTokens ? left : kTokens);
    }
  }

  // Where a block that would end behind the batch begins instead, if the batch has a block at all.
  static size_t BlockToken(const MatMulTask& task, size_t token) {
    if (token + kTokens <= task.token_count) return token;
    return task.token_count < kTokens ? 0 : task.token_count - kTokens;
  }

  static void Page(const MatMulTask& task, uint64_t page_index, const std::byte* page,
                   const Rows& rows, size_t first_token, size_t token_count, Scratch& scratch) {
    const uint64_t page_block = page_index * task.tile_blocks;
    const uint64_t left = task.blocks_per_row - page_block;
    const auto blocks = static_cast<uint32_t>(left < task.tile_blocks ? left : task.tile_blocks);
    const uint32_t step = PagePanel::BlocksAtOnce(rows.vectors);
    for (uint32_t first = 0; first < blocks; first += step) {
      const uint32_t count = blocks - first < step ? blocks - first : step;
      scratch.panel.Unpack(task, page, first, count, rows.first, rows.vectors);
      const size_t first_group = (page_block + first) * PagePanel::kBlockWeights / 32;
      const uint32_t groups = count * PagePanel::kBlockWeights / 32;
      for (size_t token = 0; token < token_count; token += kTokens) {
        const Block block =
            FindBlock(task, BlockToken(task, first_token + token), first_group, groups, scratch);
        for (uint32_t v = 0; v < rows.vectors; ++v) {
          Multiply(scratch, v, block, scratch.sums[token / kTokens][v]);
        }
      }
    }
  }

  static Block FindBlock(const MatMulTask& task, size_t token, size_t first_group, uint32_t groups,
                         Scratch& scratch) {
    const std::byte* x = task.x + first_group * sizeof(ActivationGroup);
    const std::byte* factors =
        task.x + task.x_factors_offset + first_group * sizeof(ActivationFactors);
    if (AtEvenDistances(task, token)) {
      const size_t offset = task.tokens[token] * task.x_token_bytes;
      const size_t distance = size_t{task.tokens[token + 1]} - task.tokens[token];
      return {x + offset, factors + offset, distance * task.x_token_bytes};
    }
    const size_t factors_offset = groups * sizeof(ActivationGroup);
    for (size_t t = 0; t < kTokens; ++t) {
      // Behind the end of the batch, the last token serves as well as any other.
      const size_t i = token + t < task.token_count ? token + t : task.token_count - 1;
      const size_t offset = task.tokens[i] * task.x_token_bytes;
      __builtin_memcpy(scratch.copy[t], x + offset, factors_offset);
      __builtin_memcpy(scratch.copy[t] + factors_offset, factors + offset,
                       groups * sizeof(ActivationFactors));
    }
    return {scratch.copy[0], scratch.copy[0] + factors_offset, sizeof scratch.copy[0]};
  }

  static bool AtEvenDistances(const MatMulTask& task, size_t token) {
    if (token + kTokens > task.token_count) return false;
    const uint32_t* tokens = task.tokens + token;
    if (tokens[1] <= tokens[0]) return false;
    for (uint32_t t = 2; t < kTokens; ++t) {
      if (tokens[t] - tokens[t - 1] != tokens[1] - tokens[0]) return false;
    }
    return true;
  }

  // Tiles are multiplied one ahead of their additions, so that both units are busy.
  static void Multiply(Scratch& scratch, uint32_t vector, const Block& block,
                       float (&sums)[kTokens][kLanes]) {
    const PagePanel& panel = scratch.panel;
    const uint32_t subs = panel.sub_count();
    F32 totals[kTokens];
#pragma GCC unroll 16
    for (uint32_t t = 0; t < kTokens; ++t) totals[t] = Simd::LoadF32(sums[t]);
    MultiplySub<0>(scratch, vector, 0, block);
    for (uint32_t sub = 0; sub < subs; sub += 2) {
      if (sub + 1 < subs) MultiplySub<1>(scratch, vector, sub + 1, block);
      Add<0>(scratch, vector, sub, block, totals);
      if (sub + 1 == subs) break;
      if (sub + 2 < subs) MultiplySub<0>(scratch, vector, sub + 2, block);
      Add<1>(scratch, vector, sub + 1, block, totals);
    }
#pragma GCC unroll 16
    for (uint32_t t = 0; t < kTokens; ++t) Simd::StoreF32(sums[t], totals[t]);
  }

  template <uint32_t kTurn>
  static GS_INLINE void MultiplySub(Scratch& scratch, uint32_t vector, uint32_t sub,
                                    const Block& block) {
    const uint32_t column = sub * kSubColumns;
    const std::byte* planes = block.groups + column / 32 * sizeof(ActivationGroup) + column % 32;
    Simd::template MultiplyTile<kTurn>(scratch.panel.words(vector, sub), planes, block.stride,
                                       scratch.products[kTurn]);
  }

  template <uint32_t kTurn>
  static GS_INLINE void Add(const Scratch& scratch, uint32_t vector, uint32_t sub,
                            const Block& block, F32 (&totals)[kTokens]) {
    const F32 scale = scratch.panel.scale(vector, sub);
    const F32 offset = scratch.panel.offset(vector, sub);
    const uint32_t column = sub * kSubColumns;
    const std::byte* factors = block.factors + column / 32 * sizeof(ActivationFactors);
    // Of a token's factors, the sum that the sub-block needs.
    const size_t sum_offset = kSubColumns == 32 ? offsetof(ActivationFactors, sum)
                                                : offsetof(ActivationFactors, half_sum) +
                                                      column % 32 / 16 * sizeof(float);
#pragma GCC unroll 16
    for (uint32_t t = 0; t < kTokens; ++t) {
      const std::byte* token = factors + t * block.stride;
      const auto high = Simd::template LoadAs<I32>(scratch.products[kTurn][t]);
      const auto low = Simd::template LoadAs<I32>(scratch.products[kTurn][kTokens + t]);
      const F32 dot = Simd::ToF32((high << 8) + low);
      totals[t] = Simd::MulAdd(dot * LoadOne(token), scale, totals[t]);
      totals[t] = Simd::MulAdd(offset, Simd::SplatF32(LoadOne(token + sum_offset)), totals[t]);
    }
  }

  static GS_INLINE float LoadOne(const std::byte* source) {
    float value;
    __builtin_memcpy(&value, source, sizeof value);
    return value;
  }

  static void Store(const MatMulTask& task, const float (&sums)[kMaxVectors][kTokens][kLanes],
                    const Rows& rows, uint64_t first_row, size_t token, size_t token_count) {
    for (uint32_t v = 0; v < rows.vectors; ++v) {
      const uint32_t left = rows.count - rows.first[v];
      const size_t bytes = (left < kLanes ? left : kLanes) * sizeof(float);
      float* y = task.y + token * task.y_stride + first_row + rows.first[v];
      for (size_t t = 0; t < token_count; ++t) {
        __builtin_memcpy(y + t * task.y_stride, sums[v][t], bytes);
      }
    }
  }
};

}  // namespace gguf_shard
