// Growing and reading the small byte sequences inside a patch: fixed integers and varints.
//
// varint: seven bits a byte, low bits first, the high bit set on every byte but the last; at most
// ten bytes, and the shortest form only. A ByteReader never reads beyond its span: every read is
// exact or kMalformed. For one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/bytes.h"
#include "core/error.h"

namespace gguf_shard {

class ByteWriter {
 public:
  template <typename T>
  void Put(T value) {
    const size_t offset = bytes_.size();
    bytes_.resize(offset + sizeof(T));
    StoreLe(bytes_.data() + offset, value);
  }
  void PutVarint(uint64_t value) {
    while (value >= 0x80) {
      bytes_.push_back(static_cast<std::byte>(value | 0x80));
      value >>= 7;
    }
    bytes_.push_back(static_cast<std::byte>(value));
  }
  void PutBytes(std::span<const std::byte> bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }

  const std::vector<std::byte>& bytes() const { return bytes_; }
  std::vector<std::byte> Take() { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  template <typename T>
  Result<T> Get() {
    if (bytes_.size() < sizeof(T)) return Fail(ErrorCode::kMalformed, "a frame ends too early");
    const T value = LoadLe<T>(bytes_.data());
    bytes_ = bytes_.subspan(sizeof(T));
    return value;
  }
  // A varint of at most `limit`.
  Result<uint64_t> GetVarint(uint64_t limit);
  Result<std::span<const std::byte>> GetBytes(uint64_t count);

  size_t remaining() const { return bytes_.size(); }
  // kMalformed when bytes are left.
  Result<void> ExpectEnd() const;

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace gguf_shard
