// The compiled shaders of atlas/shaders, embedded when the project is built (cmake/shaders.cmake).
// Immutable; thread-safe.
#pragma once

#include <span>

#include "gpu/kernel.h"

namespace gguf_shard::atlas_shaders {

// By file name: tag_check.comp is "tag_check"; gpu::FindShader finds one.
std::span<const gpu::Shader> All();

}  // namespace gguf_shard::atlas_shaders
