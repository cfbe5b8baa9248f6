#if defined(__x86_64__)

#include "kernels/cpu/kernel_groups.h"
#include "kernels/cpu/simd_avx2.h"

namespace gguf_shard::avx2 {

MatMulKernel Block32Kernel(TensorType type) { return Block32KernelOf<Simd>(type); }

}  // namespace gguf_shard::avx2

#endif
