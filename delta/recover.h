// Back to the base, by the journal beside a core (delta/in_place.h): after an in-place patch was
// interrupted, or to undo one. Thread-safety: one caller at a time per core.
#pragma once

#include "core/error.h"
#include "delta/core_place.h"

namespace gguf_shard {

// Rolls the locked core back by its journal, if it has one: false when it has none, or one that is
// of another core, which is removed then.
Result<bool> RollBackCore(const CorePlace& place, EditFile& locked);

}  // namespace gguf_shard
