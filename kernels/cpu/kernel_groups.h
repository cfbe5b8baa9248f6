// Private to kernels/cpu: the kernels of each group of types, for any Simd class.
// Thread-safety: pure functions.
#pragma once

#include "kernels/cpu/decode_256.h"
#include "kernels/cpu/decode_256_sub16.h"
#include "kernels/cpu/decode_32.h"
#include "kernels/cpu/float_tile.h"
#include "kernels/cpu/quantized_tile.h"
#include "kernels/cpu/tile_walk.h"

namespace gguf_shard {

template <class Simd, template <class> class Decoder>
constexpr MatMulKernel QuantizedKernel() {
  if constexpr (Simd::kTiles) {
    return TileWalk<Simd, Decoder>::Run;
  } else {
    return MultiplyQuantized<Simd, Decoder>;
  }
}

template <class Simd>
MatMulKernel FloatKernelOf(TensorType type) {
  switch (type) {
    case TensorType::kF32:
      return MultiplyFloat<Simd, LoadWeightF32<Simd>>;
    case TensorType::kF16:
      return MultiplyFloat<Simd, LoadWeightF16<Simd>>;
    case TensorType::kBF16:
      return MultiplyFloat<Simd, LoadWeightBf16<Simd>>;
    default:
      return nullptr;
  }
}

template <class Simd>
MatMulKernel Block32KernelOf(TensorType type) {
  switch (type) {
    case TensorType::kQ4_0:
      return QuantizedKernel<Simd, DecodeQ4_0>();
    case TensorType::kQ4_1:
      return QuantizedKernel<Simd, DecodeQ4_1>();
    case TensorType::kQ5_0:
      return QuantizedKernel<Simd, DecodeQ5_0>();
    case TensorType::kQ5_1:
      return QuantizedKernel<Simd, DecodeQ5_1>();
    case TensorType::kQ8_0:
      return QuantizedKernel<Simd, DecodeQ8_0>();
    case TensorType::kIQ4_NL:
      return QuantizedKernel<Simd, DecodeIq4Nl>();
    case TensorType::kMXFP4:
      return QuantizedKernel<Simd, DecodeMxfp4>();
    default:
      return nullptr;
  }
}

template <class Simd>
MatMulKernel Block256KernelOf(TensorType type) {
  switch (type) {
    case TensorType::kQ4_K:
      return QuantizedKernel<Simd, DecodeQ4K>();
    case TensorType::kQ5_K:
      return QuantizedKernel<Simd, DecodeQ5K>();
    case TensorType::kIQ4_XS:
      return QuantizedKernel<Simd, DecodeIq4Xs>();
    default:
      return nullptr;
  }
}

template <class Simd>
MatMulKernel Sub16KernelOf(TensorType type) {
  switch (type) {
    case TensorType::kQ2_K:
      return QuantizedKernel<Simd, DecodeQ2K>();
    case TensorType::kQ3_K:
      return QuantizedKernel<Simd, DecodeQ3K>();
    case TensorType::kQ6_K:
      return QuantizedKernel<Simd, DecodeQ6K>();
    default:
      return nullptr;
  }
}

}  // namespace gguf_shard
