#if defined(__x86_64__)

#include "kernels/cpu/simd_avx2.h"
#include "kernels/cpu/vector_table.h"

namespace gguf_shard::avx2 {

constinit const VectorKernels kVectorKernels = MakeVectorKernels<Simd>();

}  // namespace gguf_shard::avx2

#endif
