#include "kernels/cpu/kernel_groups.h"
#include "kernels/cpu/simd_portable.h"

namespace gguf_shard::portable {

MatMulKernel Block32Kernel(TensorType type) { return Block32KernelOf<Simd>(type); }

}  // namespace gguf_shard::portable
