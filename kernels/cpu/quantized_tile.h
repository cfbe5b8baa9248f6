// One page of a quantized matrix times a few tokens. Integers are exact: a sub-block's dot product
// of 8-bit weights and 16-bit activations fits 31 bits (32 * 255 * 32512 < 2^31). Then, for each
// sub-block in order,
//   sum = fma(offset, x_sum, fma(dot * x_scale, scale, sum))
// whether rows are taken one vector or a pair of vectors at a time.
// Thread-safety: pure functions.
#pragma once

#include "kernels/activations.h"
#include "kernels/cpu/decode_common.h"
#include "kernels/cpu/rest_rows.h"
#include "kernels/cpu/simd_pair.h"
#include "kernels/cpu/strip_walk.h"

namespace gguf_shard {

// Decoder: kernels/cpu/decode_common.h. kTileRows: 0 for any height.
template <class Simd, template <class> class Decoder, uint32_t kTileRows>
struct QuantizedTile {
  using F32 = typename Simd::F32;
  using Planes = BlockPlanes<kTileRows>;
  static constexpr uint32_t kSubColumns = Decoder<Simd>::kSubColumns;
  static constexpr uint32_t kWords = kSubColumns / 4;
  static constexpr uint32_t kBlockWeights = Decoder<Simd>::kBlockWeights;
  // Cache lines that a vector of rows fetches with each sub-block; 0: not known in advance.
  static constexpr uint32_t kVectors = (kTileRows + Simd::kLanes - 1) / Simd::kLanes;
  static constexpr uint32_t kTileSubs =
      kTileRows == 0 ? 0 : Decoder<Simd>::kTileRows / kTileRows * (kBlockWeights / kSubColumns);
  static constexpr uint32_t kSubLines =
      kTileRows == 0 ? 0 : (kPageLines + kVectors * kTileSubs - 1) / (kVectors * kTileSubs);
  // Unusual heights of large blocks run short of registers for addresses: one vector at a time.
  static constexpr bool kPairs = Simd::kPairs && (kTileRows != 0 || kBlockWeights == 32);
  static constexpr uint64_t kTilePagesAhead =
      kBlockWeights == 256 ? kBlock256PagesAhead : kPagesAhead;
  static constexpr uint32_t kMaxTokensAtOnce = kBlockWeights == 32 ? Simd::kMaxTokensUnrolled
                                               : kTileRows != 0    ? Simd::kMaxTokensAtOnce
                                                                   : 4;

  // Rows beyond whole vectors that RestPage takes, of usual tiles and one token; 0: none.
  using Rest = RestRows<Decoder<Simd>>;
  static constexpr uint32_t kRestRows =
      kTileRows != 0 && kTileRows == Decoder<Simd>::kTileRows ? Rest::kRows : 0;

  template <uint32_t kTokens>
  static GS_INLINE void Page(const MatMulTask& task, uint64_t page_index, const PageRows& rows,
                             const std::byte* const (&x)[kTokens], F32 (&sums)[kTokens]) {
    Consumer<Simd, kTokens> consumer;
    for (uint32_t t = 0; t < kTokens; ++t) consumer.sums[t] = sums[t];
    consumer.SetAhead(task, rows, rows);
    Blocks<Simd>(task, page_index, PlanesAt(task, rows), x, consumer);
    for (uint32_t t = 0; t < kTokens; ++t) sums[t] = consumer.sums[t];
  }

  // Of another page too, when `second_page` is one: of the next strip's.
  template <uint32_t kTokens>
  static GS_INLINE void PagePair(const MatMulTask& task, uint64_t page_index,
                                 const PageRows& first_rows, const PageRows& second_rows,
                                 const std::byte* const (&x)[kTokens], F32 (&first_sums)[kTokens],
                                 F32 (&second_sums)[kTokens]) {
    Consumer<PairSimd<Simd>, kTokens> consumer;
    for (uint32_t t = 0; t < kTokens; ++t) consumer.sums[t] = {first_sums[t], second_sums[t]};
    consumer.SetAhead(task, first_rows, second_rows);
    Planes planes = PlanesAt(task, first_rows);
    const Planes second = PlanesAt(task, second_rows);
    planes.second_words = static_cast<size_t>(second.words - planes.words);
    planes.second_shorts = static_cast<size_t>(second.shorts - planes.shorts);
    Blocks<PairSimd<Simd>>(task, page_index, planes, x, consumer);
    for (uint32_t t = 0; t < kTokens; ++t) {
      first_sums[t] = consumer.sums[t].a;
      second_sums[t] = consumer.sums[t].b;
    }
  }

  // Of a page of one block.
  static GS_INLINE void RestPage(const MatMulTask& task, uint64_t page_index, const PageRows& rows,
                                 const std::byte* x, F32& sums) {
    const size_t first_group = page_index * (kBlockWeights / 32);
    const auto* groups = reinterpret_cast<const ActivationGroup*>(x) + first_group;
    const auto* factors =
        reinterpret_cast<const ActivationFactors*>(x + task.x_factors_offset) + first_group;
    Rest::Block(PlanesAt(task, rows), groups, factors, rows.ahead, rows.lines_ahead, sums);
  }

 private:
  template <class Vectors, uint32_t kTokens>
  struct Consumer {
    static constexpr uint32_t kVectors = sizeof(typename Vectors::F32) / sizeof(F32);
    const std::byte* groups[kTokens];  // of the current block
    const std::byte* factors[kTokens];
    typename Vectors::F32 sums[kTokens];
    // What is fetched meanwhile, for each vector of rows, a sub-block at a time.
    const std::byte* ahead[kVectors];
    uint32_t lines_of_block;  // where kSubLines does not tell

    GS_INLINE void SetAhead(const MatMulTask& task, const PageRows& first, const PageRows& second) {
      ahead[0] = first.ahead;
      ahead[kVectors - 1] = second.ahead;
      lines_of_block = (first.lines_ahead + task.tile_blocks - 1) / task.tile_blocks;
    }
    GS_INLINE void FetchAhead(uint32_t line_count) {
      for (uint32_t v = 0; v < kVectors; ++v) {
        FetchLines(ahead[v], line_count);
        ahead[v] += line_count * 64;
      }
    }

    template <uint32_t kSub>
    GS_INLINE void Add(typename Vectors::F32 scale, typename Vectors::F32 offset,
                       const typename Vectors::U32 (&words)[kWords]) {
      if constexpr (kSubLines != 0) FetchAhead(kSubLines);
      // Eight and more sub-blocks, each unrolled over many tokens, are more code than a processor's
      // cache of decoded instructions holds: with a loop, batches are 1.3 (Q4_K) to 1.5 (Q6_K)
      // times as fast.
      if constexpr (kBlockWeights == 32 || kTokens <= 4) {
#pragma GCC unroll 8
        for (uint32_t t = 0; t < kTokens; ++t) AddToken<kSub>(t, scale, offset, words);
      } else {
#pragma GCC unroll 1
        for (uint32_t t = 0; t < kTokens; ++t) AddToken<kSub>(t, scale, offset, words);
      }
      KeepOrder();
    }

    // Products and sums apart, of the only token.
    static constexpr bool kOneToken = kTokens == 1;
    template <uint32_t kSub>
    GS_INLINE typename Vectors::I32 Dot(const typename Vectors::U32 (&words)[kWords]) {
      const auto dot = DotToken<kSub>(0, words);
      KeepOrder();
      return dot;
    }
    template <uint32_t kSub>
    GS_INLINE void AddDot(typename Vectors::F32 scale, typename Vectors::F32 offset,
                          typename Vectors::I32 dot) {
      if constexpr (kSubLines != 0) FetchAhead(kSubLines);
      AddProduct<kSub>(0, scale, offset, dot);
      KeepOrder();
    }

   private:
    template <uint32_t kSub>
    static constexpr uint32_t kGroup = kSub* kSubColumns / 32;
    template <uint32_t kSub>
    static constexpr uint32_t kPlace = kSub* kSubColumns % 32;

    // Sub-blocks are decoded one after the other: without this, the compiler moves all loads and
    // prefetches of a block to its start, and what is decoded early fills the stack.
    static GS_INLINE void KeepOrder() { __asm__ volatile("" ::: "memory"); }

    template <uint32_t kSub>
    GS_INLINE typename Vectors::I32 DotToken(uint32_t t,
                                             const typename Vectors::U32 (&words)[kWords]) {
      const auto* group = reinterpret_cast<const ActivationGroup*>(groups[t]) + kGroup<kSub>;
      return Vectors::template Dot<Decoder<Simd>::kMaxWeight>(words, group->high + kPlace<kSub>,
                                                              group->low + kPlace<kSub>);
    }
    template <uint32_t kSub>
    GS_INLINE void AddProduct(uint32_t t, typename Vectors::F32 scale, typename Vectors::F32 offset,
                              typename Vectors::I32 dot) {
      const auto* factor = reinterpret_cast<const ActivationFactors*>(factors[t]) + kGroup<kSub>;
      const float x_sum = kSubColumns == 32 ? factor->sum : factor->half_sum[kPlace<kSub> / 16];
      sums[t] = Vectors::MulAdd(Vectors::ToF32(dot) * factor->scale, scale, sums[t]);
      sums[t] = Vectors::MulAdd(offset, Vectors::SplatF32(x_sum), sums[t]);
    }
    template <uint32_t kSub>
    GS_INLINE void AddToken(uint32_t t, typename Vectors::F32 scale, typename Vectors::F32 offset,
                            const typename Vectors::U32 (&words)[kWords]) {
      AddProduct<kSub>(t, scale, offset, DotToken<kSub>(t, words));
    }
  };

  static GS_INLINE Planes PlanesAt(const MatMulTask& task, const PageRows& rows) {
    Planes planes;
    planes.words = rows.page + rows.first_row * 4;
    planes.shorts = rows.page + task.short_planes_offset + rows.first_row * task.short_bytes;
    planes.tile_rows = task.tile_rows;
    planes.second_words = planes.second_shorts = 0;
    return planes;
  }

  template <class Vectors, uint32_t kTokens>
  static GS_INLINE void Blocks(const MatMulTask& task, uint64_t page_index, Planes planes,
                               const std::byte* const (&x)[kTokens],
                               Consumer<Vectors, kTokens>& consumer) {
    constexpr size_t kGroups = kBlockWeights / 32;
    const uint64_t first_block = page_index * task.tile_blocks;
    const uint64_t blocks_left = task.blocks_per_row - first_block;
    const uint32_t blocks =
        blocks_left < task.tile_blocks ? static_cast<uint32_t>(blocks_left) : task.tile_blocks;
    for (uint32_t t = 0; t < kTokens; ++t) {
      const size_t first_group = first_block * kGroups;
      consumer.groups[t] = x[t] + first_group * sizeof(ActivationGroup);
      consumer.factors[t] = x[t] + task.x_factors_offset + first_group * sizeof(ActivationFactors);
    }
    for (uint32_t block = 0; block < blocks; ++block) {
      if constexpr (kSubLines == 0) consumer.FetchAhead(consumer.lines_of_block);
      Decoder<Vectors>::Decode(planes, consumer);
      planes.words += planes.word_stride() * task.words_per_block;
      planes.shorts += size_t{task.tile_rows} * task.short_bytes;
      for (uint32_t t = 0; t < kTokens; ++t) {
        consumer.groups[t] += kGroups * sizeof(ActivationGroup);
        consumer.factors[t] += kGroups * sizeof(ActivationFactors);
      }
    }
  }
};

template <class Simd, template <class> class Decoder>
void MultiplyQuantized(const MatMulTask& task) {
  constexpr uint32_t kUsualRows = Simd::kUsualTiles ? Decoder<Simd>::kTileRows : 0;
  if (kUsualRows != 0 && task.tile_rows == kUsualRows) {
    StripWalk<Simd, QuantizedTile<Simd, Decoder, kUsualRows>>::Run(task);
  } else if (kUsualRows != 0 && task.tile_rows == kUsualRows / 2) {
    StripWalk<Simd, QuantizedTile<Simd, Decoder, kUsualRows / 2>>::Run(task);
  } else {
    StripWalk<Simd, QuantizedTile<Simd, Decoder, 0>>::Run(task);
  }
}

}  // namespace gguf_shard
