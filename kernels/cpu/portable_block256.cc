#include "kernels/cpu/kernel_groups.h"
#include "kernels/cpu/simd_portable.h"

namespace gguf_shard::portable {

MatMulKernel Block256Kernel(TensorType type) { return Block256KernelOf<Simd>(type); }

}  // namespace gguf_shard::portable
