// Qwen 1.5, Qwen 2 and 2.5 (dense): biases on query, key and value.
#include "runtime/architectures/all.h"

namespace gguf_shard {

const Architecture kQwen2Architecture = {
    .name = "qwen2",
    .rope_order = RopeOrder::kHalves,
    .projection_bias = Presence::kRequired,
    .output_bias = Presence::kOptional,
};

}  // namespace gguf_shard
