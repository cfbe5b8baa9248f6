#if defined(__x86_64__)

#include "kernels/cpu/simd_avx512.h"
#include "kernels/cpu/vector_table.h"

namespace gguf_shard::avx512 {

constinit const VectorKernels kVectorKernels = MakeVectorKernels<Simd>();

}  // namespace gguf_shard::avx512

#endif
