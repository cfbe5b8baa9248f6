// The metadata of a made model: its shape and its tokenizer. For one thread.
#pragma once

#include "bench/model/shape.h"
#include "core/error.h"
#include "core/gguf_writer.h"

namespace gguf_shard {

// Adds all metadata of the model. With a vocabulary file the shape takes that file's number of
// words.
Result<void> AddModelMetadata(Request& request, GgufWriter& writer);

}  // namespace gguf_shard
