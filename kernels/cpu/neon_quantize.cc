#if defined(__aarch64__)

#include "kernels/cpu/quantize_impl.h"
#include "kernels/cpu/simd_neon.h"

namespace gguf_shard::neon {

void QuantizeGroups(const float* values, size_t group_count, ActivationGroup* groups,
                    ActivationFactors* factors) {
  for (size_t i = 0; i < group_count; ++i) {
    Quantizer<Simd>::Group(values + i * 32, groups + i, factors + i);
  }
}

}  // namespace gguf_shard::neon

#endif
