#if defined(__x86_64__)

#include "kernels/cpu/kernel_groups.h"
#include "kernels/cpu/simd_avxvnni.h"

namespace gguf_shard::avxvnni {

MatMulKernel Sub16Kernel(TensorType type) { return Sub16KernelOf<Simd>(type); }

}  // namespace gguf_shard::avxvnni

#endif
