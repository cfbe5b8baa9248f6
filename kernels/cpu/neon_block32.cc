#if defined(__aarch64__)

#include "kernels/cpu/kernel_groups.h"
#include "kernels/cpu/simd_neon.h"

namespace gguf_shard::neon {

MatMulKernel Block32Kernel(TensorType type) { return Block32KernelOf<Simd>(type); }

}  // namespace gguf_shard::neon

#endif
