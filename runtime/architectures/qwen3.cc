// Qwen 3 (dense): every head's query and key is normed before the rotation.
#include "runtime/architectures/all.h"

namespace gguf_shard {

const Architecture kQwen3Architecture = {
    .name = "qwen3",
    .rope_order = RopeOrder::kHalves,
    .projection_bias = Presence::kOptional,
    .head_norm = Presence::kRequired,
};

}  // namespace gguf_shard
