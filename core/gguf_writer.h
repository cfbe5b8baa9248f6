// Builds the header of a GGUF v3 file. Used for core.gguf, for synthetic models and by tests.
//
// Usage: Add* in file order, then Serialize(). Tensor offsets are the caller's, relative to the
// data section. What is added is written as it is: names, duplicates and offsets are checked by the
// reader, not here. Not thread-safe.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/gguf.h"

namespace gguf_shard {

class GgufWriter {
 public:
  // Adds general.alignment when it differs from the default of 32: when copying the metadata of
  // another header, leave that key (kGgufAlignmentKey) out.
  explicit GgufWriter(uint64_t alignment = kDefaultGgufAlignment);

  void AddUint8(std::string_view key, uint8_t value);
  void AddInt8(std::string_view key, int8_t value);
  void AddUint16(std::string_view key, uint16_t value);
  void AddInt16(std::string_view key, int16_t value);
  void AddUint32(std::string_view key, uint32_t value);
  void AddInt32(std::string_view key, int32_t value);
  void AddUint64(std::string_view key, uint64_t value);
  void AddInt64(std::string_view key, int64_t value);
  void AddFloat32(std::string_view key, float value);
  void AddFloat64(std::string_view key, double value);
  void AddBool(std::string_view key, bool value);
  void AddString(std::string_view key, std::string_view value);
  void AddStrings(std::string_view key, std::span<const std::string> values);
  void AddFloats(std::string_view key, std::span<const float> values);
  void AddInt32s(std::string_view key, std::span<const int32_t> values);
  void AddUint32s(std::string_view key, std::span<const uint32_t> values);
  // Copies a value read from another header, as it is.
  void AddValue(std::string_view key, const GgufValue& value);

  void AddTensor(std::string_view name, TensorType type, std::span<const uint64_t> shape,
                 uint64_t data_offset);

  // The header's bytes, zero-padded to the alignment: the data section follows.
  std::vector<std::byte> Serialize() const;

 private:
  void PutKey(std::string_view key, GgufValueType type);
  void PutArrayStart(std::string_view key, GgufValueType element_type, uint64_t count);

  uint64_t alignment_;
  uint64_t metadata_count_ = 0;
  uint64_t tensor_count_ = 0;
  std::vector<std::byte> metadata_;
  std::vector<std::byte> tensors_;
};

}  // namespace gguf_shard
