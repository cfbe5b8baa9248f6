#if defined(__aarch64__)

#include "kernels/cpu/simd_neon.h"
#include "kernels/cpu/vector_table.h"

namespace gguf_shard::neon {

constinit const VectorKernels kVectorKernels = MakeVectorKernels<Simd>();

}  // namespace gguf_shard::neon

#endif
