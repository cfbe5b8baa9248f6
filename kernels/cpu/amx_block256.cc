#if defined(__x86_64__)

#include "kernels/cpu/kernel_groups.h"
#include "kernels/cpu/simd_amx.h"

namespace gguf_shard::amx {

MatMulKernel Block256Kernel(TensorType type) { return Block256KernelOf<Simd>(type); }

}  // namespace gguf_shard::amx

#endif
