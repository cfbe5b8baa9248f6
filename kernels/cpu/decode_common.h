// How a decoder sees one block of kLanes rows, and what it hands on.
//
// A decoder is a class template over Simd with
//   kBlockWeights      weights per block
//   kSubColumns        columns that share a scale: 16 or 32
//   kMaxWeight         largest unsigned weight
//   kTileRows          the usual height of tiles of one block's width, which gets kernels of its
//                      own; 0: none
//   Decode(planes, consume)   calls consume.template Add<kSub>(scale, offset, words) for every
//                             sub-block in one fixed order, where weight = scale * u + offset and
//                             words[w] holds u of columns 4w..4w+3 of the sub-block, one row per
//                             lane, four unsigned bytes.
// Where Consume::kOneToken, a decoder may ask for products out of order, dot = consume.template
// Dot<kSub>(words), so that words which sub-blocks share are loaded once; it then calls
// consume.template AddDot<kSub>(scale, offset, dot) in the fixed order.
// Thread-safety: pure functions.
#pragma once

#include "kernels/cpu/simd_common.h"

namespace gguf_shard {

// Two f16 in one word.
template <class Simd>
struct F16Pair {
  typename Simd::F32 low;
  typename Simd::F32 high;
  GS_INLINE explicit F16Pair(typename Simd::U32 word)
      : low(Simd::F16ToF32(word & 0xffffu)), high(Simd::F16ToF32(word >> 16)) {}
};

// Asks for the cache lines from `lines` on.
GS_INLINE void FetchLines(const std::byte* lines, uint32_t count) {
#pragma GCC unroll 16
  for (uint32_t line = 0; line < count; ++line) __builtin_prefetch(lines + line * 64);
}

inline constexpr uint32_t kLowNibbles = 0x0f0f0f0f;

}  // namespace gguf_shard
