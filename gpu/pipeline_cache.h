// The pipeline cache on disk: what the driver made of our shaders, so that the next start does not
// compile them again. One file, ours alone: a header that says which driver wrote it, a checksum,
// then the driver's bytes. Anything that does not fit is ignored; the cache is never needed.
//
// Thread-safety: one thread, while no kernel is being created.
#pragma once

#include <string>

#include "core/error.h"

namespace gguf_shard::gpu {

struct DeviceHandles;

// Below $XDG_CACHE_HOME/gguf-shard or ~/.cache/gguf-shard; empty when neither variable is set.
std::string DefaultPipelineCachePath();

// Makes handles.pipeline_cache, from the file when that is good.
Result<void> LoadPipelineCache(DeviceHandles& handles);
// Writes it to the file, whole or not at all. Failure is no error: the next start compiles.
void SavePipelineCache(const DeviceHandles& handles);

}  // namespace gguf_shard::gpu
