// What the three instruction sets share: vectors as the compiler's own vector types, so that
// decoders are written once with plain operators, whatever the width.
//
// Rule that keeps the program safe on older processors: everything that kernels/cpu compiles for a
// wide instruction set is a template over a Simd class of that instruction set's namespace (its
// name is then part of every symbol) or has internal linkage.
// Thread-safety: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#define GS_INLINE __attribute__((always_inline)) inline

namespace gguf_shard {

// The planes of one block (core/tile.h), for a vector of rows or a pair of vectors. kTileRows is
// the height of the tile where it is known in advance, else 0: with it, the places of all words are
// constants; without it, blocks of many words run out of registers for their addresses.
template <uint32_t kTileRows>
struct BlockPlanes {
  const std::byte* words;   // word 0 of the first row
  const std::byte* shorts;  // short field of the first row
  uint32_t tile_rows;
  // From there to the pair's other vector, in bytes: further rows of the page, or another strip's.
  size_t second_words;
  size_t second_shorts;

  GS_INLINE size_t word_stride() const { return (kTileRows != 0 ? kTileRows : tile_rows) * 4; }
};

// `Tag` is the instruction set's Simd class: it only makes the functions' names its own.
template <class Tag, uint32_t kLaneCount>
struct VectorBase {
  static constexpr uint32_t kLanes = kLaneCount;
  static constexpr bool kTiles = false;  // tile registers: batches go through tile_walk.h
  typedef uint32_t U32 __attribute__((vector_size(kLaneCount * 4)));
  typedef int32_t I32 __attribute__((vector_size(kLaneCount * 4)));
  typedef float F32 __attribute__((vector_size(kLaneCount * 4)));

  template <class V>
  static GS_INLINE V LoadAs(const void* source) {
    V value;
    __builtin_memcpy(&value, source, sizeof value);
    return value;
  }
  static GS_INLINE U32 LoadWords(const void* source) { return LoadAs<U32>(source); }
  static GS_INLINE F32 LoadF32(const void* source) { return LoadAs<F32>(source); }
  static GS_INLINE void StoreF32(float* target, F32 value) {
    __builtin_memcpy(target, &value, sizeof value);
  }
  static GS_INLINE F32 ZeroF32() { return F32{}; }
  static GS_INLINE F32 SplatF32(float value) { return value - F32{}; }
  static GS_INLINE U32 SplatU32(uint32_t value) { return value - U32{}; }
  static GS_INLINE F32 BitsToF32(U32 bits) { return (F32)bits; }

  template <class Planes>
  static GS_INLINE U32 LoadPlane(const Planes& planes, uint32_t word) {
    return LoadWords(planes.words + word * planes.word_stride());
  }
  template <class Planes>
  static GS_INLINE F32 LoadShortF16(const Planes& planes) {
    return Tag::LoadF16(planes.shorts);
  }
  // Byte `byte` of each lane, as an unsigned or a signed number.
  static GS_INLINE F32 ByteToF32(U32 word, uint32_t byte) {
    return Tag::ToF32((I32)(byte == 3 ? word >> 24 : word >> (8 * byte) & 255u));
  }
  static GS_INLINE F32 SignedByteToF32(U32 word, uint32_t byte) {
    return Tag::ToF32((I32)(word << (24 - 8 * byte)) >> 24);
  }
  // 2^(e - 128) of the short bytes e; the two smallest are subnormal.
  template <class Planes>
  static GS_INLINE F32 LoadShortPowerOfTwo(const Planes& planes) {
    const U32 e = Tag::LoadU8(planes.shorts);
    const U32 subnormal = (U32)(e < 2u);
    return BitsToF32(((e - 1u) << 23 & ~subnormal) | ((e + 1u) << 21 & subnormal));
  }
};

}  // namespace gguf_shard
