#include "kernels/cpu/simd_portable.h"
#include "kernels/cpu/vector_table.h"

namespace gguf_shard::portable {

constinit const VectorKernels kVectorKernels = MakeVectorKernels<Simd>();

}  // namespace gguf_shard::portable
