#include "core/gguf_writer.h"

#include <cstring>

#include "core/bytes.h"
#include "core/check.h"

namespace gguf_shard {
namespace {

constexpr std::string_view kMagicText = "GGUF";
constexpr uint32_t kVersion = 3;

template <typename T>
void Put(std::vector<std::byte>& target, T value) {
  const size_t at = target.size();
  target.resize(at + sizeof(T));
  StoreLe(target.data() + at, value);
}

void PutBytes(std::vector<std::byte>& target, std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  const size_t at = target.size();
  target.resize(at + bytes.size());
  std::memcpy(target.data() + at, bytes.data(), bytes.size());
}

void PutString(std::vector<std::byte>& target, std::string_view text) {
  Put<uint64_t>(target, text.size());
  PutBytes(target, AsBytes(text));
}

void PutType(std::vector<std::byte>& target, GgufValueType type) {
  Put(target, static_cast<uint32_t>(type));
}

}  // namespace

GgufWriter::GgufWriter(uint64_t alignment) : alignment_(alignment) {
  GS_CHECK(IsPowerOfTwo(alignment) && alignment <= kMaxGgufAlignment);
  if (alignment != kDefaultGgufAlignment) {
    AddUint32(kGgufAlignmentKey, static_cast<uint32_t>(alignment));
  }
}

void GgufWriter::PutKey(std::string_view key, GgufValueType type) {
  ++metadata_count_;
  PutString(metadata_, key);
  PutType(metadata_, type);
}

void GgufWriter::PutArrayStart(std::string_view key, GgufValueType element_type, uint64_t count) {
  PutKey(key, GgufValueType::kArray);
  PutType(metadata_, element_type);
  Put(metadata_, count);
}

void GgufWriter::AddUint8(std::string_view key, uint8_t value) {
  PutKey(key, GgufValueType::kUint8);
  Put(metadata_, value);
}
void GgufWriter::AddInt8(std::string_view key, int8_t value) {
  PutKey(key, GgufValueType::kInt8);
  Put(metadata_, value);
}
void GgufWriter::AddUint16(std::string_view key, uint16_t value) {
  PutKey(key, GgufValueType::kUint16);
  Put(metadata_, value);
}
void GgufWriter::AddInt16(std::string_view key, int16_t value) {
  PutKey(key, GgufValueType::kInt16);
  Put(metadata_, value);
}
void GgufWriter::AddUint32(std::string_view key, uint32_t value) {
  PutKey(key, GgufValueType::kUint32);
  Put(metadata_, value);
}
void GgufWriter::AddInt32(std::string_view key, int32_t value) {
  PutKey(key, GgufValueType::kInt32);
  Put(metadata_, value);
}
void GgufWriter::AddUint64(std::string_view key, uint64_t value) {
  PutKey(key, GgufValueType::kUint64);
  Put(metadata_, value);
}
void GgufWriter::AddInt64(std::string_view key, int64_t value) {
  PutKey(key, GgufValueType::kInt64);
  Put(metadata_, value);
}
void GgufWriter::AddFloat32(std::string_view key, float value) {
  PutKey(key, GgufValueType::kFloat32);
  Put(metadata_, value);
}
void GgufWriter::AddFloat64(std::string_view key, double value) {
  PutKey(key, GgufValueType::kFloat64);
  Put(metadata_, value);
}
void GgufWriter::AddBool(std::string_view key, bool value) {
  PutKey(key, GgufValueType::kBool);
  Put<uint8_t>(metadata_, value ? 1 : 0);
}
void GgufWriter::AddString(std::string_view key, std::string_view value) {
  PutKey(key, GgufValueType::kString);
  PutString(metadata_, value);
}

void GgufWriter::AddStrings(std::string_view key, std::span<const std::string> values) {
  PutArrayStart(key, GgufValueType::kString, values.size());
  for (const std::string& value : values) PutString(metadata_, value);
}
void GgufWriter::AddFloats(std::string_view key, std::span<const float> values) {
  PutArrayStart(key, GgufValueType::kFloat32, values.size());
  PutBytes(metadata_, std::as_bytes(values));
}
void GgufWriter::AddInt32s(std::string_view key, std::span<const int32_t> values) {
  PutArrayStart(key, GgufValueType::kInt32, values.size());
  PutBytes(metadata_, std::as_bytes(values));
}
void GgufWriter::AddUint32s(std::string_view key, std::span<const uint32_t> values) {
  PutArrayStart(key, GgufValueType::kUint32, values.size());
  PutBytes(metadata_, std::as_bytes(values));
}

void GgufWriter::AddValue(std::string_view key, const GgufValue& value) {
  if (const auto array = value.AsArray()) {
    PutArrayStart(key, array->element_type, array->count);
    PutBytes(metadata_, array->bytes);
  } else if (const auto text = value.AsString()) {
    AddString(key, *text);
  } else {
    PutKey(key, value.type());
    PutBytes(metadata_, value.bytes());
  }
}

void GgufWriter::AddTensor(std::string_view name, TensorType type, std::span<const uint64_t> shape,
                           uint64_t data_offset) {
  ++tensor_count_;
  PutString(tensors_, name);
  Put(tensors_, static_cast<uint32_t>(shape.size()));
  for (const uint64_t dimension : shape) Put(tensors_, dimension);
  Put(tensors_, static_cast<uint32_t>(type));
  Put(tensors_, data_offset);
}

std::vector<std::byte> GgufWriter::Serialize() const {
  std::vector<std::byte> header;
  PutBytes(header, AsBytes(kMagicText));
  Put(header, kVersion);
  Put(header, tensor_count_);
  Put(header, metadata_count_);
  PutBytes(header, metadata_);
  PutBytes(header, tensors_);
  header.resize(AlignUp(header.size(), alignment_));
  return header;
}

}  // namespace gguf_shard
