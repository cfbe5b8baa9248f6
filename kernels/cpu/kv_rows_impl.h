// Rows of the key/value cache, for any Simd class:
//
//   F32    count x f32
//   F16    count x f16
//   Q8_0   count / 32 blocks of [scale f16][32 x int8], value = scale * integer
//
// Thread-safety: pure functions.
#pragma once

#include "kernels/cpu/vector_math.h"
#include "kernels/dequantize.h"

namespace gguf_shard {

template <class Simd>
struct KvRows {
  using Math = VectorMath<Simd>;
  using F32 = typename Simd::F32;
  static constexpr size_t kLanes = Simd::kLanes;
  static constexpr size_t kBlockValues = 32;
  static constexpr size_t kBlockBytes = 34;

  struct ElementF32 {
    static constexpr size_t kBytes = 4;
    static GS_INLINE F32 Load(const std::byte* source) { return Simd::LoadF32(source); }
    static GS_INLINE float LoadOne(const std::byte* source) {
      float value;
      __builtin_memcpy(&value, source, sizeof value);
      return value;
    }
  };
  struct ElementF16 {
    static constexpr size_t kBytes = 2;
    static GS_INLINE F32 Load(const std::byte* source) { return Simd::LoadF16(source); }
    static GS_INLINE float LoadOne(const std::byte* source) {
      uint16_t bits;
      __builtin_memcpy(&bits, source, sizeof bits);
      return F16ToF32(bits);
    }
  };

  static void StoreF16(const float* values, size_t count, std::byte* row) {
    size_t i = 0;
    for (; i + kLanes <= count; i += kLanes) {
      Simd::StoreF16(row + i * 2, Simd::LoadF32(values + i));
    }
    for (; i < count; ++i) {
      const uint16_t bits = F32ToF16(values[i]);
      __builtin_memcpy(row + i * 2, &bits, sizeof bits);
    }
  }

  static void StoreQ8(const float* values, size_t count, std::byte* row) {
    for (size_t i = 0; i < count; i += kBlockValues, row += kBlockBytes) {
      StoreQ8Block(values + i, row);
    }
  }

  // Back to f32.
  template <class Element>
  static void Load(const std::byte* row, size_t count, float* values) {
    size_t i = 0;
    for (; i + kLanes <= count; i += kLanes) {
      Simd::StoreF32(values + i, Element::Load(row + i * Element::kBytes));
    }
    for (; i < count; ++i) values[i] = Element::LoadOne(row + i * Element::kBytes);
  }

  static void LoadQ8(const std::byte* row, size_t count, float* values) {
    for (size_t i = 0; i < count; i += kBlockValues, row += kBlockBytes) {
      const F32 scale = BlockScale(row);
      for (size_t k = 0; k < kBlockValues; k += kLanes) {
        Simd::StoreF32(values + i + k, scale * Simd::LoadI8(row + 2 + k));
      }
    }
  }

 private:
  static GS_INLINE F32 BlockScale(const std::byte* block) {
    uint16_t bits;
    __builtin_memcpy(&bits, block, sizeof bits);
    return Simd::F16ToF32(Simd::SplatU32(bits));
  }

  // The integers refer to the scale as it is stored, rounded to f16.
  static void StoreQ8Block(const float* values, std::byte* block) {
    float largest = 0;
    for (size_t k = 0; k < kBlockValues; ++k) {
      const float magnitude = __builtin_fabsf(values[k]);
      largest = magnitude > largest ? magnitude : largest;
    }
    const float wished = largest / 127.0f;
    const uint16_t bits = F32ToF16(wished < 65504.0f ? wished : 65504.0f);
    const float scale = F16ToF32(bits);
    const float inverse = scale > 0 ? 1.0f / scale : 0.0f;
    __builtin_memcpy(block, &bits, sizeof bits);
    for (size_t k = 0; k < kBlockValues; ++k) {
      float scaled = values[k] * inverse;
      scaled = scaled < 127.0f ? scaled : 127.0f;
      scaled = scaled > -127.0f ? scaled : -127.0f;
      const auto integer = static_cast<int8_t>(__builtin_rintf(scaled));
      __builtin_memcpy(block + 2 + k, &integer, 1);
    }
  }
};

}  // namespace gguf_shard
