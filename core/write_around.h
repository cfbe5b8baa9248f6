// Writing large files past the operating system's page cache: whole blocks directly, and what
// shares a block with its neighbours through the cache. Filling fresh cache pages costs several
// times as much processor time as the write itself, and pushes out what others read.
//
// Thread-safety: ranges of one file may be written from many threads; a buffer is for one.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "core/bytes.h"
#include "core/file.h"

namespace gguf_shard {

// Bytes that lie in memory as they will in the file, relative to blocks.
class BlockBuffer {
 public:
  // Room for bytes that belong at `offset`; what was placed before is lost.
  std::span<std::byte> Place(uint64_t offset, size_t byte_size) {
    const size_t needed = byte_size + 2 * kDirectAlignment;
    if (storage_.size() < needed) storage_.resize(needed);
    const auto address = reinterpret_cast<uintptr_t>(storage_.data());
    const size_t start = AlignUp(address, kDirectAlignment) - address;
    return std::span(storage_).subspan(start + offset % kDirectAlignment, byte_size);
  }

 private:
  std::vector<std::byte> storage_;
};

// `bytes` come from a BlockBuffer that placed them for this offset.
inline Result<void> WriteAroundCache(OutputFile& output, uint64_t offset,
                                     std::span<const std::byte> bytes) {
  const uint64_t head_bytes =
      std::min<uint64_t>(AlignUp(offset, kDirectAlignment) - offset, bytes.size());
  const uint64_t whole_bytes = (bytes.size() - head_bytes) / kDirectAlignment * kDirectAlignment;
  const auto tail = bytes.subspan(head_bytes + whole_bytes);
  GS_TRY(output.WriteAt(offset, bytes.first(head_bytes)));
  if (whole_bytes > 0) {
    GS_TRY(output.WriteDirectAt(offset + head_bytes, bytes.subspan(head_bytes, whole_bytes)));
  }
  return output.WriteAt(offset + head_bytes + whole_bytes, tail);
}

}  // namespace gguf_shard
