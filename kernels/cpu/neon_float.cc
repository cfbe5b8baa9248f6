#if defined(__aarch64__)

#include "kernels/cpu/kernel_groups.h"
#include "kernels/cpu/simd_neon.h"

namespace gguf_shard::neon {

MatMulKernel FloatKernel(TensorType type) { return FloatKernelOf<Simd>(type); }

}  // namespace gguf_shard::neon

#endif
