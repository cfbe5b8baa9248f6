// Quantization of activations, one function for each instruction set; all give the same bits.
// Thread-safety: pure functions over the caller's memory.
#pragma once

#include <cstddef>

#include "kernels/activations.h"

namespace gguf_shard {

// values: group_count * 32 floats.
using QuantizeKernel = void (*)(const float* values, size_t group_count, ActivationGroup* groups,
                                ActivationFactors* factors);

namespace portable {
void QuantizeGroups(const float* values, size_t group_count, ActivationGroup* groups,
                    ActivationFactors* factors);
}
namespace neon {
void QuantizeGroups(const float* values, size_t group_count, ActivationGroup* groups,
                    ActivationFactors* factors);
}
namespace avx2 {
void QuantizeGroups(const float* values, size_t group_count, ActivationGroup* groups,
                    ActivationFactors* factors);
}
namespace avx512 {
void QuantizeGroups(const float* values, size_t group_count, ActivationGroup* groups,
                    ActivationFactors* factors);
}

}  // namespace gguf_shard
