#if defined(__x86_64__)

#include "kernels/cpu/kernel_groups.h"
#include "kernels/cpu/simd_avx2.h"

namespace gguf_shard::avx2 {

MatMulKernel Sub16Kernel(TensorType type) { return Sub16KernelOf<Simd>(type); }

}  // namespace gguf_shard::avx2

#endif
