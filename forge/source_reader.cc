#include "forge/source_reader.h"

#include <algorithm>

#include "core/bytes.h"
#include "core/check.h"

namespace gguf_shard {

Result<SourceReader> SourceReader::Open(const GgufModel& model) {
  SourceReader reader(model);
  for (const GgufPart& part : model.parts) {
    GS_ASSIGN(File file, File::OpenRead(part.path, Caching::kDirect));
    if (file.size_bytes() != part.file.size_bytes()) {
      return Fail(Error(ErrorCode::kIo, "the file changed while it was being read")
                      .File(part.path.string())
                      .Expected(part.file.size_bytes())
                      .Found(file.size_bytes()));
    }
    reader.direct_files_.push_back(std::move(file));
  }
  return reader;
}

Result<std::span<std::byte>> SourceReader::Read(uint32_t source_file, uint64_t offset,
                                                uint64_t byte_size,
                                                std::span<std::byte> window) const {
  GS_CHECK(window.size() >= byte_size + 2 * kDirectAlignment);
  const File& file = direct_files_[source_file];
  if (!file.direct()) {
    GS_TRY(file.ReadAt(offset, window.first(byte_size)));
    return window.first(byte_size);
  }
  const uint64_t start = offset / kDirectAlignment * kDirectAlignment;
  const uint64_t whole_blocks_end = file.size_bytes() / kDirectAlignment * kDirectAlignment;
  const uint64_t end = std::min(AlignUp(offset + byte_size, kDirectAlignment), whole_blocks_end);
  if (end > start) GS_TRY(file.ReadAt(start, window.first(end - start)));
  // The file's last, partial block cannot be read directly.
  const uint64_t tail = std::max(end, start);
  if (tail < offset + byte_size) {
    GS_TRY(model_->parts[source_file].file.ReadAt(
        tail, window.subspan(tail - start, offset + byte_size - tail)));
  }
  return window.subspan(offset - start, byte_size);
}

}  // namespace gguf_shard
