#include "core/gguf_parser.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/digest.h"
#include "core/gguf_names.h"
#include "core/gguf_tensor_table.h"

namespace gguf_shard {
namespace {

constexpr uint32_t kMagicNumber = 0x46554747;  // "GGUF"
// The fewest bytes of an entry: a name of one byte, and a one-byte value or no dimensions.
constexpr uint64_t kMinMetadataBytes = 8 + 1 + 4 + 1;
constexpr uint64_t kMinTensorBytes = 8 + 1 + 4 + 4 + 8;

}  // namespace

Result<GgufHeader> GgufHeaderParser::Parse() {
  GS_TRY(ParsePreamble());
  for (uint64_t i = 0; i < metadata_count_; ++i) GS_TRY(ParseMetadataEntry(i));
  for (uint64_t i = 0; i < tensor_count_; ++i) GS_TRY(ParseTensor(i));
  GS_TRY(FindDataSection());
  GS_TRY(CheckTensorTable(header_.tensors, header_.alignment,
                          header_.file_bytes - header_.data_offset));
  GS_ASSIGN(header_.bytes_, source_.Take(header_.data_offset));
  GS_TRY(IndexMetadata());
  GS_TRY(IndexTensors());
  return std::move(header_);
}

Result<void> GgufHeaderParser::ParsePreamble() {
  header_.file_bytes = cursor_.file_bytes();
  GS_ASSIGN(const uint32_t magic, cursor_.Read<uint32_t>("the magic number"));
  if (magic != kMagicNumber) {
    return Fail(Error(ErrorCode::kMalformed, "not a GGUF file")
                    .Offset(0)
                    .Expected("47475546 (GGUF)")
                    .Found(ToHex(cursor_.View({0, sizeof magic}))));
  }
  GS_ASSIGN(header_.version, cursor_.Read<uint32_t>("the version"));
  GS_TRY(CheckVersion(header_.version));
  GS_ASSIGN(tensor_count_, ReadCount("tensor count", kMinTensorBytes, kMaxGgufTensors));
  GS_ASSIGN(metadata_count_, ReadCount("metadata count", kMinMetadataBytes, kMaxGgufMetadata));
  return {};
}

Result<void> GgufHeaderParser::CheckVersion(uint32_t version) const {
  if (version == 2 || version == 3) return {};
  const uint32_t swapped = __builtin_bswap32(version);
  std::string sentence = "unknown GGUF version";
  if (version == 1) sentence = "GGUF version 1 is not supported: convert the model anew";
  if (swapped >= 1 && swapped <= 0xFF) {
    sentence = fmt::format(
        "the file is a big-endian GGUF (version {}): only little-endian files "
        "are supported",
        swapped);
  }
  return Fail(Error(ErrorCode::kUnsupported, std::move(sentence))
                  .Offset(4)
                  .Expected("version 2 or 3, little-endian")
                  .Found(version));
}

// A count of entries, held against the bytes that so many entries need at least.
Result<uint64_t> GgufHeaderParser::ReadCount(std::string_view what, uint64_t min_bytes,
                                             uint64_t limit) {
  GS_ASSIGN(const uint64_t count, cursor_.Read<uint64_t>(fmt::format("the {}", what)));
  GS_TRY(cursor_.RequireElements(
      count, min_bytes, fmt::format("the entries that the {} of {} promises", what, count)));
  if (count <= limit) return count;
  return Fail(Error(ErrorCode::kTooLarge, fmt::format("the {} is above the limit", what))
                  .Offset(cursor_.offset() - sizeof count)
                  .Expected(fmt::format("at most {}", limit))
                  .Found(count));
}

Result<std::string> GgufHeaderParser::ReadName(std::string_view what, uint64_t limit_bytes) {
  const uint64_t offset = cursor_.offset();
  GS_ASSIGN(const uint64_t size_bytes, cursor_.Read<uint64_t>(what));
  GS_TRY(cursor_.RequireElements(size_bytes, 1, what));
  // Checked before the bytes are read: a long name costs no memory.
  if (size_bytes > limit_bytes) {
    return Fail(
        Error(ErrorCode::kTooLarge, fmt::format("{} of {} is too long", what, cursor_.subject()))
            .Offset(offset)
            .Expected(fmt::format("at most {} bytes", limit_bytes))
            .Found(fmt::format("{} bytes", size_bytes)));
  }
  GS_ASSIGN(const GgufExtent extent, cursor_.ReadBytes(size_bytes, what));
  const std::string_view name = AsText(cursor_.View(extent));
  if (IsPlainName(name)) return std::string(name);
  const std::string_view flaw =
      name.empty() ? "is empty" : "is not UTF-8 without control characters";
  return Fail(
      Error(ErrorCode::kMalformed, fmt::format("{} of {} {}", what, cursor_.subject(), flaw))
          .Offset(offset));
}

Result<void> GgufHeaderParser::ParseTensor(uint64_t index) {
  cursor_.SetSubject(fmt::format("tensor {}", index));
  GgufTensor tensor;
  GS_ASSIGN(tensor.name, ReadName("the name", kMaxGgufNameBytes));
  cursor_.SetSubject(fmt::format("tensor {}", tensor.name));
  const auto named = [&tensor, offset = cursor_.offset()](Error error) {
    return Fail(std::move(error).Tensor(tensor.name).Offset(offset));
  };
  auto shape = ReadShape();
  if (!shape) return named(std::move(shape).error());
  tensor.shape = *std::move(shape);
  GS_ASSIGN(const uint32_t type_id, cursor_.Read<uint32_t>("the type"));
  const auto type = TensorTypeFromId(type_id);
  if (!type) return named(type.error());
  tensor.type = *type;
  GS_ASSIGN(tensor.data_offset, cursor_.Read<uint64_t>("the offset"));
  const auto byte_size = TensorBytes(tensor.type, tensor.shape);
  if (!byte_size) return named(byte_size.error());
  tensor.byte_size = *byte_size;
  GS_ASSIGN(tensor.element_count, ElementCount(tensor.shape));
  header_.tensors.push_back(std::move(tensor));
  return {};
}

Result<std::vector<uint64_t>> GgufHeaderParser::ReadShape() {
  GS_ASSIGN(const uint32_t dimension_count, cursor_.Read<uint32_t>("the number of dimensions"));
  if (dimension_count > kMaxGgufDims) {
    return Fail(Error(ErrorCode::kMalformed, "a tensor has too many dimensions")
                    .Expected(fmt::format("at most {}", kMaxGgufDims))
                    .Found(dimension_count));
  }
  std::vector<uint64_t> shape(dimension_count);
  for (uint64_t& dimension : shape) {
    GS_ASSIGN(dimension, cursor_.Read<uint64_t>("the dimensions"));
  }
  return shape;
}

Result<void> GgufHeaderParser::FindDataSection() {
  cursor_.SetSubject("");
  // The end of the header is within the file and the alignment is small: this cannot wrap.
  const uint64_t aligned = AlignUp(cursor_.offset(), header_.alignment);
  const bool has_data = std::any_of(header_.tensors.begin(), header_.tensors.end(),
                                    [](const GgufTensor& tensor) { return tensor.byte_size != 0; });
  if (has_data) GS_TRY(cursor_.Require(aligned - cursor_.offset(), "the padding of the header"));
  header_.data_offset = std::min(aligned, header_.file_bytes);
  return {};
}

Result<void> GgufHeaderParser::IndexTensors() {
  header_.tensor_index_.reserve(header_.tensors.size());
  for (size_t i = 0; i < header_.tensors.size(); ++i) {
    const std::string& name = header_.tensors[i].name;
    if (!header_.tensor_index_.emplace(name, i).second) {
      return Fail(Error(ErrorCode::kMalformed, "two tensors have the same name").Tensor(name));
    }
  }
  return {};
}

Result<GgufHeader> ReadGgufHeader(const File& file) {
  // Header fields are not aligned, as direct reads would need them to be.
  if (file.direct()) {
    GS_ASSIGN(const File buffered, File::OpenRead(file.path()));
    return ReadGgufHeader(buffered);
  }
  GgufFileSource source(file);
  auto header = GgufHeaderParser(source, file.size_bytes()).Parse();
  if (!header) header.error().SetFileIfEmpty(file.path().string());
  return header;
}

Result<GgufHeader> ParseGgufHeader(std::span<const std::byte> bytes, uint64_t file_bytes) {
  GgufMemorySource source(bytes);
  return GgufHeaderParser(source, file_bytes).Parse();
}

}  // namespace gguf_shard
