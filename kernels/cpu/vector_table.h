// The table of kernels/cpu/vector_kernels.h for any Simd class. Thread-safety: a constant.
#pragma once

#include "kernels/cpu/kv_rows_impl.h"
#include "kernels/cpu/vector_kernels.h"
#include "kernels/cpu/vector_ops_impl.h"

namespace gguf_shard {

template <class Simd>
constexpr VectorKernels MakeVectorKernels() {
  using Ops = VectorOps<Simd>;
  using Rows = KvRows<Simd>;
  return {.rms_norm = Ops::RmsNorm,
          .add_in_place = Ops::AddInPlace,
          .add_scaled = Ops::AddScaled,
          .swi_glu = Ops::SwiGlu,
          .softmax = Ops::Softmax,
          .store_f16 = Rows::StoreF16,
          .store_q8 = Rows::StoreQ8,
          .dot_f32 = Rows::template Dot<typename Rows::ElementF32>,
          .dot_f16 = Rows::template Dot<typename Rows::ElementF16>,
          .dot_q8 = Rows::DotQ8,
          .accumulate_f32 = Rows::template Accumulate<typename Rows::ElementF32>,
          .accumulate_f16 = Rows::template Accumulate<typename Rows::ElementF16>,
          .accumulate_q8 = Rows::AccumulateQ8};
}

}  // namespace gguf_shard
