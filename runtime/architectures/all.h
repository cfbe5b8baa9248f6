// The architectures that architecture.cc lists, each defined in its own file of this folder.
// Immutable.
#pragma once

#include "runtime/architecture.h"

namespace gguf_shard {

extern const Architecture kLlamaArchitecture;
extern const Architecture kQwen2Architecture;
extern const Architecture kQwen3Architecture;
extern const Architecture kQwen3MoeArchitecture;

}  // namespace gguf_shard
