// The compute shaders of kernels/shaders, compiled when the program was built
// (cmake/shaders.cmake). Immutable; thread-safe.
#pragma once

#include <span>

#include "gpu/kernel.h"

namespace gguf_shard::kernels_shaders {

std::span<const gpu::Shader> All();

}  // namespace gguf_shard::kernels_shaders
