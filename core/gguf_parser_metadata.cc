#include <fmt/format.h>

#include <algorithm>

#include "core/gguf_names.h"
#include "core/gguf_parser.h"

namespace gguf_shard {

Result<void> GgufHeaderParser::ParseMetadataEntry(uint64_t index) {
  cursor_.SetSubject(fmt::format("metadata entry {}", index));
  MetadataRecord record;
  const uint64_t key_offset = cursor_.offset() + sizeof(uint64_t);
  GS_ASSIGN(const std::string key, ReadName("the key", kMaxGgufKeyBytes));
  record.key = {key_offset, key.size()};
  cursor_.SetSubject(fmt::format("key {}", DisplayName(key)));
  GS_ASSIGN(record.type, ReadValueType("the value type"));
  if (record.type == GgufValueType::kArray) {
    GS_TRY(ParseArray(record));
  } else if (record.type == GgufValueType::kString) {
    GS_ASSIGN(record.value, cursor_.ReadString("the text"));
  } else {
    GS_ASSIGN(record.value, cursor_.ReadBytes(GgufScalarBytes(record.type), "the value"));
  }
  if (record.type == GgufValueType::kBool) GS_TRY(CheckBools(record.value));
  if (key == kGgufAlignmentKey) GS_TRY(NoteAlignment(record));
  records_.push_back(record);
  return {};
}

Result<GgufValueType> GgufHeaderParser::ReadValueType(std::string_view what) {
  GS_ASSIGN(const uint32_t id, cursor_.Read<uint32_t>(what));
  if (id <= static_cast<uint32_t>(GgufValueType::kFloat64)) return static_cast<GgufValueType>(id);
  return Fail(
      Error(ErrorCode::kMalformed, fmt::format("{} of {} is unknown", what, cursor_.subject()))
          .Offset(cursor_.offset() - sizeof id)
          .Expected("a type id of at most 12")
          .Found(id));
}

Result<void> GgufHeaderParser::ParseArray(MetadataRecord& record) {
  GS_ASSIGN(record.element_type, ReadValueType("the array's element type"));
  if (record.element_type == GgufValueType::kArray) {
    return Fail(Error(ErrorCode::kUnsupported,
                      fmt::format("{} is an array of arrays, which no GGUF reader accepts",
                                  cursor_.subject()))
                    .Offset(cursor_.offset() - sizeof(uint32_t)));
  }
  GS_ASSIGN(record.count, cursor_.Read<uint64_t>("the array's length"));
  const uint64_t start = cursor_.offset();
  if (record.element_type == GgufValueType::kString) {
    GS_TRY(SkipStrings(record.count));
  } else {
    const uint32_t element_bytes = GgufScalarBytes(record.element_type);
    GS_TRY(cursor_.RequireElements(record.count, element_bytes, "the array"));
    GS_TRY(cursor_.ReadBytes(record.count * element_bytes, "the array"));
  }
  record.value = {start, cursor_.offset() - start};
  return record.element_type == GgufValueType::kBool ? CheckBools(record.value) : Result<void>();
}

Result<void> GgufHeaderParser::SkipStrings(uint64_t count) {
  GS_TRY(cursor_.RequireElements(count, sizeof(uint64_t), "the array of strings"));
  for (uint64_t i = 0; i < count; ++i) GS_TRY(cursor_.ReadString("a string in the array"));
  return {};
}

Result<void> GgufHeaderParser::CheckBools(GgufExtent extent) const {
  const auto bytes = cursor_.View(extent);
  const auto wrong =
      std::find_if(bytes.begin(), bytes.end(), [](std::byte byte) { return byte > std::byte{1}; });
  if (wrong == bytes.end()) return {};
  return Fail(Error(ErrorCode::kMalformed,
                    fmt::format("a bool of {} is neither 0 nor 1", cursor_.subject()))
                  .Offset(extent.offset + static_cast<uint64_t>(wrong - bytes.begin()))
                  .Expected("0 or 1")
                  .Found(static_cast<uint64_t>(*wrong)));
}

Result<void> GgufHeaderParser::NoteAlignment(const MetadataRecord& record) {
  const GgufValue value(record.type, cursor_.View(record.value));
  const auto alignment = record.type == GgufValueType::kArray ? std::nullopt : value.AsUint();
  const auto refuse = [&record](ErrorCode code, std::string expected, std::string found) {
    return Fail(Error(code, "general.alignment cannot be used")
                    .Offset(record.value.offset)
                    .Expected(std::move(expected))
                    .Found(std::move(found)));
  };
  if (!alignment) {
    return refuse(ErrorCode::kMalformed, "an integer of at least 1",
                  std::string(GgufValueTypeName(record.type)));
  }
  if (!IsPowerOfTwo(*alignment)) {
    return refuse(ErrorCode::kMalformed, "a power of two", std::to_string(*alignment));
  }
  if (*alignment > kMaxGgufAlignment) {
    return refuse(ErrorCode::kTooLarge, fmt::format("at most {}", kMaxGgufAlignment),
                  std::to_string(*alignment));
  }
  header_.alignment = *alignment;
  return {};
}

Result<void> GgufHeaderParser::IndexMetadata() {
  const auto view = [this](GgufExtent extent) {
    return header_.bytes().subspan(extent.offset, extent.size_bytes);
  };
  header_.metadata.reserve(records_.size());
  header_.metadata_index_.reserve(records_.size());
  for (const MetadataRecord& record : records_) {
    const std::string_view key = AsText(view(record.key));
    if (!header_.metadata_index_.emplace(key, header_.metadata.size()).second) {
      return Fail(
          Error(ErrorCode::kMalformed, fmt::format("the key {} is there twice", DisplayName(key)))
              .Offset(record.key.offset));
    }
    if (record.type == GgufValueType::kArray) {
      header_.metadata.emplace_back(
          key, GgufArray{record.element_type, record.count, view(record.value)});
    } else {
      header_.metadata.emplace_back(key, GgufValue(record.type, view(record.value)));
    }
  }
  return {};
}

}  // namespace gguf_shard
