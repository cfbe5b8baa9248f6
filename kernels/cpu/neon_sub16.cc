#if defined(__aarch64__)

#include "kernels/cpu/kernel_groups.h"
#include "kernels/cpu/simd_neon.h"

namespace gguf_shard::neon {

MatMulKernel Sub16Kernel(TensorType type) { return Sub16KernelOf<Simd>(type); }

}  // namespace gguf_shard::neon

#endif
