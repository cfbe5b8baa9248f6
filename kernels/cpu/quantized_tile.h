// One page of a quantized matrix times a few tokens. Integers are exact: a sub-block's dot product
// of 8-bit weights and 16-bit activations fits 31 bits (32 * 255 * 32512 < 2^31). Then, for each
// sub-block in order,
//   sum = fma(offset, x_sum, fma(dot * x_scale, scale, sum))
// Thread-safety: pure functions.
#pragma once

#include "kernels/activations.h"
#include "kernels/cpu/strip_walk.h"

namespace gguf_shard {

template <class Simd, class Decoder>
struct QuantizedTile {
  using F32 = typename Simd::F32;
  using U32 = typename Simd::U32;
  static constexpr uint32_t kSubColumns = Decoder::kSubColumns;
  static constexpr uint32_t kWords = kSubColumns / 4;

  template <uint32_t kTokens>
  struct Consumer {
    const std::byte* groups[kTokens];  // of the current block
    const std::byte* factors[kTokens];
    F32 sums[kTokens];

    template <uint32_t kSub>
    GS_INLINE void Add(F32 scale, F32 offset, const U32 (&words)[kWords]) {
      constexpr uint32_t kGroup = kSub * kSubColumns / 32;
      constexpr uint32_t kPlace = kSub * kSubColumns % 32;
      const typename Simd::template Weights<Decoder::kMaxWeight, kWords> weights(words);
#pragma GCC unroll 8
      for (uint32_t t = 0; t < kTokens; ++t) {
        const auto* group = reinterpret_cast<const ActivationGroup*>(groups[t]) + kGroup;
        const auto* factor = reinterpret_cast<const ActivationFactors*>(factors[t]) + kGroup;
        const F32 dot = Simd::ToF32(Simd::Dot(weights, group->high + kPlace, group->low + kPlace));
        const float x_sum = kSubColumns == 32 ? factor->sum : factor->half_sum[kPlace / 16];
        sums[t] = Simd::MulAdd(dot * factor->scale, scale, sums[t]);
        sums[t] = Simd::MulAdd(offset, Simd::SplatF32(x_sum), sums[t]);
      }
    }
  };

  template <uint32_t kTokens>
  static GS_INLINE void Page(const MatMulTask& task, uint64_t page_index, const std::byte* page,
                             uint32_t first_row, const std::byte* const (&x)[kTokens],
                             F32 (&sums)[kTokens]) {
    constexpr size_t kGroups = Decoder::kBlockWeights / 32;
    const uint64_t first_block = page_index * task.tile_blocks;
    const uint64_t blocks_left = task.blocks_per_row - first_block;
    const uint32_t blocks =
        blocks_left < task.tile_blocks ? static_cast<uint32_t>(blocks_left) : task.tile_blocks;
    Consumer<kTokens> consumer;
    for (uint32_t t = 0; t < kTokens; ++t) {
      const size_t first_group = first_block * kGroups;
      consumer.groups[t] = x[t] + first_group * sizeof(ActivationGroup);
      consumer.factors[t] = x[t] + task.x_factors_offset + first_group * sizeof(ActivationFactors);
      consumer.sums[t] = sums[t];
    }
    const size_t word_stride = size_t{task.tile_rows} * 4;
    BlockPlanes planes;
    planes.word_stride = word_stride;
    planes.words = page + first_row * 4;
    planes.shorts = page + task.short_planes_offset + first_row * task.short_bytes;
    for (uint32_t block = 0; block < blocks; ++block) {
      Decoder::Decode(planes, consumer);
      planes.words += word_stride * task.words_per_block;
      planes.shorts += size_t{task.tile_rows} * task.short_bytes;
      for (uint32_t t = 0; t < kTokens; ++t) {
        consumer.groups[t] += kGroups * sizeof(ActivationGroup);
        consumer.factors[t] += kGroups * sizeof(ActivationFactors);
      }
    }
    for (uint32_t t = 0; t < kTokens; ++t) sums[t] = consumer.sums[t];
  }
};

template <class Simd, class Decoder>
void MultiplyQuantized(const MatMulTask& task) {
  StripWalk<Simd, QuantizedTile<Simd, Decoder>>::Run(task);
}

}  // namespace gguf_shard
