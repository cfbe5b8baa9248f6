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

// `Tag` is the instruction set's Simd class: it only makes the functions' names its own.
template <class Tag, uint32_t kLaneCount>
struct VectorBase {
  static constexpr uint32_t kLanes = kLaneCount;
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
};

}  // namespace gguf_shard
