// The table of kernels/cpu/vector_kernels.h for any Simd class. Thread-safety: a constant.
#pragma once

#include "kernels/cpu/attend_impl.h"
#include "kernels/cpu/kv_rows_impl.h"
#include "kernels/cpu/vector_kernels.h"
#include "kernels/cpu/vector_ops_impl.h"

namespace gguf_shard {

template <class Simd>
constexpr VectorKernels MakeVectorKernels() {
  using Ops = VectorOps<Simd>;
  using Rows = KvRows<Simd>;
  using Heads = AttendKernel<Simd>;
  return {.rms_norm = Ops::RmsNorm,
          .add_in_place = Ops::AddInPlace,
          .add_scaled = Ops::AddScaled,
          .swi_glu = Ops::SwiGlu,
          .softmax = Ops::Softmax,
          .store_f16 = Rows::StoreF16,
          .store_q8 = Rows::StoreQ8,
          .load_f32 = Rows::template Load<typename Rows::ElementF32>,
          .load_f16 = Rows::template Load<typename Rows::ElementF16>,
          .load_q8 = Rows::LoadQ8,
          .attend_f32 = Heads::template Run<Rows::template Load<typename Rows::ElementF32>>,
          .attend_f16 = Heads::template Run<Rows::template Load<typename Rows::ElementF16>>,
          .attend_q8 = Heads::template Run<Rows::LoadQ8>,
          .rotate_adjacent = Ops::RotateAdjacent,
          .rotate_halves = Ops::RotateHalves};
}

}  // namespace gguf_shard
