#include "kernels/cpu/kernel_groups.h"
#include "kernels/cpu/simd_portable.h"

namespace gguf_shard::portable {

MatMulKernel Sub16Kernel(TensorType type) { return Sub16KernelOf<Simd>(type); }

}  // namespace gguf_shard::portable
