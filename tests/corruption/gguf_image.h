// GGUF bytes written field by field, so that a test can lie in any of them. Unlike GgufWriter,
// which cannot get a length wrong. Not thread-safe.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "core/gguf.h"

namespace gguf_shard {

class GgufImage {
 public:
  // Magic, version and counts.
  GgufImage(uint64_t tensor_count, uint64_t metadata_count, uint32_t version = 3) {
    Text("GGUF").U32(version).U64(tensor_count).U64(metadata_count);
  }
  // Nothing yet.
  GgufImage() = default;

  GgufImage& Text(std::string_view text) {
    bytes_ += text;
    return *this;
  }
  GgufImage& U8(uint8_t value) { return Put(value); }
  GgufImage& U32(uint32_t value) { return Put(value); }
  GgufImage& U64(uint64_t value) { return Put(value); }
  GgufImage& String(std::string_view text) { return U64(text.size()).Text(text); }
  GgufImage& Type(GgufValueType type) { return U32(static_cast<uint32_t>(type)); }

  // A key with its type; the value follows.
  GgufImage& Key(std::string_view key, GgufValueType type) { return String(key).Type(type); }
  GgufImage& ArrayKey(std::string_view key, GgufValueType element_type, uint64_t count) {
    return Key(key, GgufValueType::kArray).Type(element_type).U64(count);
  }
  GgufImage& Tensor(std::string_view name, std::initializer_list<uint64_t> shape, uint32_t type_id,
                    uint64_t data_offset) {
    String(name).U32(static_cast<uint32_t>(shape.size()));
    for (const uint64_t dimension : shape) U64(dimension);
    return U32(type_id).U64(data_offset);
  }
  GgufImage& Tensor(std::string_view name, std::initializer_list<uint64_t> shape, TensorType type,
                    uint64_t data_offset) {
    return Tensor(name, shape, static_cast<uint32_t>(type), data_offset);
  }
  GgufImage& PadTo(uint64_t alignment) {
    while (bytes_.size() % alignment != 0) U8(0);
    return *this;
  }
  // Header padding, then `data_bytes` bytes of tensor data.
  GgufImage& Data(uint64_t data_bytes, uint64_t alignment = kDefaultGgufAlignment) {
    PadTo(alignment);
    bytes_.append(data_bytes, '\x5a');
    return *this;
  }

  const std::string& bytes() const { return bytes_; }

 private:
  template <typename T>
  GgufImage& Put(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  std::string bytes_;
};

}  // namespace gguf_shard
