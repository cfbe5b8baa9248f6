#if defined(__x86_64__)

#include "kernels/cpu/kernel_groups.h"
#include "kernels/cpu/simd_avx512.h"

namespace gguf_shard::avx512 {

MatMulKernel FloatKernel(TensorType type) { return FloatKernelOf<Simd>(type); }

}  // namespace gguf_shard::avx512

#endif
