// One page of an F32, F16 or BF16 matrix times a few tokens, on the unquantized activations:
//   sum = fma(weight, x, sum), column by column, even and odd columns in two sums for speed.
// Thread-safety: pure functions.
#pragma once

#include "kernels/cpu/strip_walk.h"

namespace gguf_shard {

template <class Simd>
struct LoadWeightF32 {
  static constexpr size_t kBytes = 4;
  static GS_INLINE typename Simd::F32 Load(const std::byte* source) {
    return Simd::LoadF32(source);
  }
};

template <class Simd>
struct LoadWeightF16 {
  static constexpr size_t kBytes = 2;
  static GS_INLINE typename Simd::F32 Load(const std::byte* source) {
    return Simd::LoadF16(source);
  }
};

template <class Simd>
struct LoadWeightBf16 {
  static constexpr size_t kBytes = 2;
  static GS_INLINE typename Simd::F32 Load(const std::byte* source) {
    return Simd::BitsToF32(Simd::LoadU16(source) << 16);
  }
};

template <class Simd, class Weight>
struct FloatTile {
  using F32 = typename Simd::F32;
  static constexpr bool kPairs = false;  // a vector's two sums hide the latency of additions
  static constexpr uint32_t kRestRows = 0;
  static constexpr uint64_t kTilePagesAhead = kPagesAhead;
  static constexpr uint32_t kMaxTokensAtOnce = Simd::kMaxTokensUnrolled;

  template <uint32_t kTokens>
  static GS_INLINE void Page(const MatMulTask& task, uint64_t page_index, const PageRows& rows,
                             const std::byte* const (&x)[kTokens], F32 (&sums)[kTokens]) {
    const uint64_t first_column = page_index * task.tile_blocks;
    const uint64_t columns_left = task.blocks_per_row - first_column;
    const uint32_t columns =
        columns_left < task.tile_blocks ? static_cast<uint32_t>(columns_left) : task.tile_blocks;
    const float* values[kTokens];
    F32 even[kTokens];
    F32 odd[kTokens];
    for (uint32_t t = 0; t < kTokens; ++t) {
      values[t] = reinterpret_cast<const float*>(x[t] + task.x_values_offset) + first_column;
      even[t] = sums[t];
      odd[t] = Simd::ZeroF32();
    }
    const std::byte* plane = rows.page + rows.first_row * Weight::kBytes;
    const size_t stride = size_t{task.tile_rows} * Weight::kBytes;
    uint32_t column = 0;
    for (; column + 2 <= columns; column += 2, plane += 2 * stride) {
      __builtin_prefetch(plane + kPagesAhead * kTaskPageBytes);
      __builtin_prefetch(plane + kPagesAhead * kTaskPageBytes + stride);
      AddColumn(Weight::Load(plane), values, column, even);
      AddColumn(Weight::Load(plane + stride), values, column + 1, odd);
    }
    if (column < columns) AddColumn(Weight::Load(plane), values, column, even);
    for (uint32_t t = 0; t < kTokens; ++t) sums[t] = even[t] + odd[t];
  }

 private:
  template <uint32_t kTokens>
  static GS_INLINE void AddColumn(F32 weight, const float* const (&values)[kTokens],
                                  uint32_t column, F32 (&sums)[kTokens]) {
#pragma GCC unroll 8
    for (uint32_t t = 0; t < kTokens; ++t) {
      sums[t] = Simd::MulAdd(weight, Simd::SplatF32(values[t][column]), sums[t]);
    }
  }
};

template <class Simd, class Weight>
void MultiplyFloat(const MatMulTask& task) {
  StripWalk<Simd, FloatTile<Simd, Weight>>::Run(task);
}

}  // namespace gguf_shard
