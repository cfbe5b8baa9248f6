// Private to the GGUF reader: one pass over a header. Because the bytes may move while they grow,
// metadata is kept as extents and turned into views once the header is complete. For one use, by
// one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/gguf.h"
#include "core/gguf_cursor.h"

namespace gguf_shard {

class GgufHeaderParser {
 public:
  GgufHeaderParser(GgufHeaderSource& source, uint64_t file_bytes)
      : source_(source), cursor_(source, file_bytes) {}

  Result<GgufHeader> Parse();

 private:
  struct MetadataRecord {
    GgufExtent key;
    GgufValueType type{};
    GgufExtent value;              // scalar bytes, characters, or array elements
    GgufValueType element_type{};  // of an array
    uint64_t count = 0;            // of an array
  };

  // gguf_parser.cc: preamble, tensor table, data section.
  Result<void> ParsePreamble();
  Result<void> CheckVersion(uint32_t version) const;
  Result<uint64_t> ReadCount(std::string_view what, uint64_t min_bytes, uint64_t limit);
  Result<std::string> ReadName(std::string_view what, uint64_t limit_bytes);
  Result<void> ParseTensor(uint64_t index);
  Result<std::vector<uint64_t>> ReadShape();
  Result<void> FindDataSection();
  Result<void> IndexTensors();

  // gguf_parser_metadata.cc: keys and values.
  Result<void> ParseMetadataEntry(uint64_t index);
  Result<GgufValueType> ReadValueType(std::string_view what);
  Result<void> ParseArray(MetadataRecord& record);
  Result<void> SkipStrings(uint64_t count);
  Result<void> CheckBools(GgufExtent extent) const;
  Result<void> NoteAlignment(const MetadataRecord& record);
  Result<void> IndexMetadata();

  GgufHeaderSource& source_;
  GgufCursor cursor_;
  GgufHeader header_;
  uint64_t metadata_count_ = 0;
  uint64_t tensor_count_ = 0;
  std::vector<MetadataRecord> records_;
};

}  // namespace gguf_shard
