// The bytes of a GGUF that belong to no tensor: padding between tensors and whatever follows the
// last one. Zeros need no pages; everything else is kept, so that reconstruction is bit for bit.
// Thread-safety: pure over an open model.
#pragma once

#include <cstdint>
#include <vector>

#include "core/error.h"
#include "core/gguf_model.h"

namespace gguf_shard {

struct SourceGap {
  uint32_t source_file;
  uint64_t source_offset;  // absolute, in the file
  uint64_t byte_size;
};

// The gaps that hold anything but zeros, file by file, ascending. Reads every gap once, through a
// small buffer.
Result<std::vector<SourceGap>> FindSourceGaps(const GgufModel& model);

}  // namespace gguf_shard
