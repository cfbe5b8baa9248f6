// Llama 1 to 3.x, Mistral, TinyLlama, SmolLM; with experts, Mixtral. Llama 3.1 and later stretch
// the rotary frequencies by the factors in rope_freqs.weight.
#include "runtime/architectures/all.h"

namespace gguf_shard {

const Architecture kLlamaArchitecture = {
    .name = "llama",
    .rope_order = RopeOrder::kAdjacent,
    .projection_bias = Presence::kOptional,
    .output_bias = Presence::kOptional,
    .feed_forward_bias = Presence::kOptional,
    .rope_factors = Presence::kOptional,
    .experts = Presence::kOptional,
};

}  // namespace gguf_shard
