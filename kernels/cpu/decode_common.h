// How a decoder sees one block of kLanes rows, and what it hands on.
//
// A decoder is a class template over Simd with
//   kBlockWeights      weights per block
//   kSubColumns        columns that share a scale: 16 or 32
//   kMaxWeight         largest unsigned weight
//   Decode(planes, consume)   calls consume.template Add<kSub>(scale, offset, words) for every
//                             sub-block in one fixed order, where weight = scale * u + offset and
//                             words[w] holds u of columns 4w..4w+3 of the sub-block, one row per
//                             lane, four unsigned bytes.
// Thread-safety: pure functions.
#pragma once

#include "kernels/cpu/simd_common.h"

namespace gguf_shard {

// The planes of one block for the rows of one vector.
struct BlockPlanes {
  const std::byte* words;   // word 0 of the first row
  const std::byte* shorts;  // short field of the first row
  size_t word_stride;       // bytes from word w to word w + 1
};

template <class Simd>
GS_INLINE typename Simd::U32 LoadPlane(const BlockPlanes& planes, uint32_t word) {
  return Simd::LoadWords(planes.words + word * planes.word_stride);
}

// Byte `byte` of each lane, as a number.
template <class Simd>
GS_INLINE typename Simd::F32 ByteToF32(typename Simd::U32 word, uint32_t byte) {
  return Simd::ToF32(byte == 3 ? word >> 24 : word >> (8 * byte) & 255u);
}

// Two f16 in one word.
template <class Simd>
struct F16Pair {
  typename Simd::F32 low;
  typename Simd::F32 high;
  GS_INLINE explicit F16Pair(typename Simd::U32 word)
      : low(Simd::F16ToF32(word & 0xffffu)), high(Simd::F16ToF32(word >> 16)) {}
};

inline constexpr uint32_t kLowNibbles = 0x0f0f0f0f;

}  // namespace gguf_shard
