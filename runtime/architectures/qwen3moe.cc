// Qwen 3 with experts in every layer (30B-A3B, 235B-A22B).
#include "runtime/architectures/all.h"

namespace gguf_shard {

const Architecture kQwen3MoeArchitecture = {
    .name = "qwen3moe",
    .rope_order = RopeOrder::kHalves,
    .projection_bias = Presence::kOptional,
    .head_norm = Presence::kRequired,
    .experts = Presence::kRequired,
};

}  // namespace gguf_shard
