#include "kernels/cpu/kernel_groups.h"
#include "kernels/cpu/simd_portable.h"

namespace gguf_shard::portable {

MatMulKernel FloatKernel(TensorType type) { return FloatKernelOf<Simd>(type); }

}  // namespace gguf_shard::portable
