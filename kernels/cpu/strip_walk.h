// The walk over a run of strips that all matrix kernels share.
//
// For every block of at most Tile::kMaxTokensAtOnce tokens and every strip, the strip's pages are
// visited in order; in a page, the rows are taken kLanes at a time. The last vector of a tile
// starts at row tile_rows - kLanes, so that it ends with the tile and reads no foreign bytes; rows
// that two vectors share are computed twice, with the same result. Only tiles of fewer than kLanes
// rows are read past their planes; pages that would be left that way are copied to a padded buffer
// first.
//
// A row's sum goes over pages, blocks and sub-blocks in order, in one accumulator for each token:
// it does not depend on how tokens are grouped. Thread-safety: pure functions over a task.
#pragma once

#include "kernels/cpu/decode_common.h"
#include "kernels/cpu/matmul_task.h"

namespace gguf_shard {

inline constexpr size_t kTaskPageBytes = 4096;
inline constexpr uint32_t kTaskMaxTileRows = 64;
inline constexpr uint32_t kPageLines = 64;  // cache lines
// How far ahead of the products weights are fetched. Two pages are what a core of 40 GB/s reads
// while busy memory answers once; the processors' own prefetchers stop at the end of a page.
inline constexpr uint64_t kPagesAhead = 2;
inline constexpr uint64_t kBlock256PagesAhead = 3;  // decoding these goes less evenly
inline constexpr uint64_t kPairPagesAhead = 1;      // of each strip of a pair

// The first row of a tile's vector number `vector`.
template <uint32_t kLanes>
GS_INLINE uint32_t VectorFirstRow(const MatMulTask& task, uint32_t vector) {
  const uint32_t row = vector * kLanes;
  if (task.tile_rows < kLanes) return 0;
  return row + kLanes <= task.tile_rows ? row : task.tile_rows - kLanes;
}

// Whether the last vector of words or of short fields ends behind the page.
template <uint32_t kLanes>
GS_INLINE bool VectorsLeavePage(const MatMulTask& task) {
  if (task.tile_rows >= kLanes) return false;
  const uint32_t lacking = kLanes - task.tile_rows;
  const size_t words_end = task.short_planes_offset + size_t{lacking} * 4;
  const size_t shorts_end =
      task.short_planes_offset +
      (size_t{task.tile_blocks} * task.tile_rows + lacking) * task.short_bytes;
  return words_end > kTaskPageBytes || shorts_end > kTaskPageBytes;
}

// The page that comes `pages` after a page of the run, there or in the next run.
GS_INLINE const std::byte* PageAhead(const MatMulTask& task, const std::byte* in_run,
                                     uint64_t pages) {
  const std::byte* end = task.pages + task.strip_count * task.pages_per_strip * kTaskPageBytes;
  const std::byte* ahead = in_run + pages * kTaskPageBytes;
  return ahead < end ? ahead : task.next_pages + (ahead - end);
}

// `padded` has kTaskPageBytes + 64 bytes.
GS_INLINE const std::byte* PadPage(const std::byte* page, std::byte* padded) {
  __builtin_memcpy(padded, page, kTaskPageBytes);
  __builtin_memset(padded + kTaskPageBytes, 0, 64);
  return padded;
}

// A vector of rows in a page, and what is fetched meanwhile: `lines_ahead` cache lines from `ahead`
// on, its share of a page to come.
struct PageRows {
  const std::byte* page;
  uint32_t first_row;
  const std::byte* ahead;
  uint32_t lines_ahead;
};

// `Tile` multiplies: Tile::Page(task, page_index, rows, x, sums) adds the products of kLanes rows
// of one page to sums[kTokens]. Where Simd has kPairs, Tile::PagePair does two vectors at once: of
// one page, or of two strips of low tiles.
template <class Simd, class Tile>
struct StripWalk {
  using F32 = typename Simd::F32;
  static constexpr uint32_t kLanes = Simd::kLanes;
  static constexpr uint32_t kMaxVectors = (kTaskMaxTileRows + kLanes - 1) / kLanes;
  // Tiles of a vector and Tile::kRestRows rows, of one token.
  template <uint32_t kTokens>
  static constexpr bool kHasRest = kTokens == 1 && Tile::kRestRows != 0;

  static void Run(const MatMulTask& task) {
    size_t token = 0;
    while (token < task.token_count) {
      const size_t left = task.token_count - token;
      if (Tile::kMaxTokensAtOnce >= 16 && left >= 16) {
        token += Strips < Tile::kMaxTokensAtOnce >= 16 ? 16 : 4 > (task, token);
      } else if (Tile::kMaxTokensAtOnce >= 8 && left >= 8) {
        token += Strips < Tile::kMaxTokensAtOnce >= 8 ? 8 : 4 > (task, token);
      } else if (left >= 4) {
        token += Strips<4>(task, token);
      } else if (left >= 2) {
        token += Strips<2>(task, token);
      } else {
        token += Strips<1>(task, token);
      }
    }
  }

 private:
  // All strips for a few tokens, whose activations then stay in the cache as the run's pages do.
  // Returns kTokens.
  template <uint32_t kTokens>
  static size_t Strips(const MatMulTask& task, size_t first_token) {
    Walk<kTokens> walk(task, first_token);
    const uint64_t strips =
        Smaller(task.strip_count, (task.row_count + task.tile_rows - 1) / task.tile_rows);
    uint64_t strip = 0;
    if (Tile::kPairs && task.tile_rows <= kLanes && !walk.leaves_page) {
      for (; strip + 2 <= strips; strip += 2) StripPair(walk, strip);
    }
    for (; strip < strips; ++strip) Strip(walk, strip);
    return kTokens;
  }

  static GS_INLINE uint64_t Smaller(uint64_t a, uint64_t b) { return a < b ? a : b; }

  template <uint32_t kTokens>
  struct Walk {
    const MatMulTask& task;
    size_t first_token;
    bool leaves_page;
    const std::byte* x[kTokens];
    F32 sums[kMaxVectors][kTokens];
    alignas(64) std::byte padded[kTaskPageBytes + 64];

    Walk(const MatMulTask& of_task, size_t token)
        : task(of_task), first_token(token), leaves_page(VectorsLeavePage<kLanes>(of_task)) {
      for (uint32_t t = 0; t < kTokens; ++t) {
        x[t] = task.x + task.tokens[first_token + t] * task.x_token_bytes;
      }
    }
    // `page` is a page of the run or its padded copy; `ahead` the page to be fetched meanwhile.
    PageRows Vector(uint32_t vector, uint32_t vectors, const std::byte* page,
                    const std::byte* ahead) const {
      const uint32_t lines = (kPageLines + vectors - 1) / vectors;
      return {page, FirstRow(vector), ahead + vector * lines * 64, lines};
    }
    uint32_t FirstRow(uint32_t vector) const {
      if (kHasRest<kTokens> && vector > 0) return task.tile_rows - Tile::kRestRows;
      return VectorFirstRow<kLanes>(task, vector);
    }
    uint32_t RowsOf(uint64_t strip) const {
      return static_cast<uint32_t>(
          Smaller(task.row_count - strip * task.tile_rows, task.tile_rows));
    }
    const std::byte* PageOf(uint64_t strip, uint64_t page_index) const {
      return task.pages + (strip * task.pages_per_strip + page_index) * kTaskPageBytes;
    }
    void ClearSums(uint32_t vectors) {
      for (uint32_t v = 0; v < vectors; ++v) {
        for (uint32_t t = 0; t < kTokens; ++t) sums[v][t] = Simd::ZeroF32();
      }
    }
    // Of vector number `vector`, to rows of a strip from `row` on.
    void StoreSums(uint32_t vector, uint64_t strip, uint32_t row) const {
      float* y = task.y + first_token * task.y_stride + strip * task.tile_rows + row;
      for (uint32_t t = 0; t < kTokens; ++t) {
        Store(y + t * task.y_stride, sums[vector][t], RowsOf(strip) - row);
      }
    }
  };

  template <uint32_t kTokens>
  static void Strip(Walk<kTokens>& walk, uint64_t strip) {
    const MatMulTask& task = walk.task;
    const uint32_t vectors = (walk.RowsOf(strip) + kLanes - 1) / kLanes;
    walk.ClearSums(vectors);
    for (uint64_t page_index = 0; page_index < task.pages_per_strip; ++page_index) {
      Page(walk, page_index, walk.PageOf(strip, page_index), vectors);
    }
    for (uint32_t v = 0; v < vectors; ++v) walk.StoreSums(v, strip, walk.FirstRow(v));
  }

  // Two strips of one vector each.
  template <uint32_t kTokens>
  static void StripPair(Walk<kTokens>& walk, uint64_t strip) {
    if constexpr (Tile::kPairs) {
      const MatMulTask& task = walk.task;
      walk.ClearSums(2);
      for (uint64_t page_index = 0; page_index < task.pages_per_strip; ++page_index) {
        const std::byte* first = walk.PageOf(strip, page_index);
        const std::byte* second = walk.PageOf(strip + 1, page_index);
        // Of the same strip, then of the strip after the next, which is the other one of the pair.
        const bool in_strip = page_index + kPairPagesAhead < task.pages_per_strip;
        const uint64_t ahead = kPairPagesAhead + (in_strip ? 0 : task.pages_per_strip);
        Tile::PagePair(task, page_index, walk.Vector(0, 1, first, PageAhead(task, first, ahead)),
                       walk.Vector(0, 1, second, PageAhead(task, second, ahead)), walk.x,
                       walk.sums[0], walk.sums[1]);
      }
      walk.StoreSums(0, strip, 0);
      walk.StoreSums(1, strip + 1, 0);
    }
  }

  template <uint32_t kTokens>
  static GS_INLINE void Page(Walk<kTokens>& walk, uint64_t page_index, const std::byte* in_run,
                             uint32_t vectors) {
    const MatMulTask& task = walk.task;
    const std::byte* ahead = PageAhead(task, in_run, Tile::kTilePagesAhead);
    const std::byte* page = walk.leaves_page ? PadPage(in_run, walk.padded) : in_run;
    uint32_t v = 0;
    if constexpr (kHasRest<kTokens>) {
      Tile::Page(task, page_index, walk.Vector(0, vectors, page, ahead), walk.x, walk.sums[0]);
      if (vectors == 2) {
        Tile::RestPage(task, page_index, walk.Vector(1, vectors, page, ahead), walk.x[0],
                       walk.sums[1][0]);
      }
      return;
    }
    if constexpr (Tile::kPairs) {
      for (; v + 2 <= vectors; v += 2) {
        Tile::PagePair(task, page_index, walk.Vector(v, vectors, page, ahead),
                       walk.Vector(v + 1, vectors, page, ahead), walk.x, walk.sums[v],
                       walk.sums[v + 1]);
      }
    }
    for (; v < vectors; ++v) {
      Tile::Page(task, page_index, walk.Vector(v, vectors, page, ahead), walk.x, walk.sums[v]);
    }
  }

  static GS_INLINE void Store(float* y, F32 sums, uint32_t rows) {
    if (rows >= kLanes) {
      Simd::StoreF32(y, sums);
    } else {
      __builtin_memcpy(y, &sums, rows * sizeof(float));
    }
  }
};

}  // namespace gguf_shard
