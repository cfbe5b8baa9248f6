#if defined(__x86_64__)

#include "kernels/cpu/kernel_groups.h"
#include "kernels/cpu/rest_rows_avx512.h"
#include "kernels/cpu/simd_avx512.h"

namespace gguf_shard::avx512 {

MatMulKernel Sub16Kernel(TensorType type) { return Sub16KernelOf<Simd>(type); }

}  // namespace gguf_shard::avx512

#endif
