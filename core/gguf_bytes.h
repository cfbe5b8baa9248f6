// The bytes of a GGUF header: a growable buffer whose growth neither doubles memory nor zero-fills,
// and whose allocation can fail as an Error. Move-only; moving keeps the address. Not thread-safe
// while growing, immutable afterwards.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <span>
#include <utility>

#include "core/error.h"

namespace gguf_shard {

class GgufBytes {
 public:
  GgufBytes() = default;
  GgufBytes(GgufBytes&& other) noexcept
      : data_(std::move(other.data_)), size_(std::exchange(other.size_, 0)) {}
  GgufBytes& operator=(GgufBytes&& other) noexcept {
    data_ = std::move(other.data_);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }

  // Grows (new bytes are uninitialized) or shrinks; may move the bytes. kOutOfMemory leaves all as
  // it was. realloc, because it moves page tables instead of copying once the buffer is large.
  Result<void> Resize(size_t size_bytes) {
    if (size_bytes == 0) {
      data_.reset();
    } else {
      void* moved = std::realloc(data_.get(), size_bytes);
      if (moved == nullptr) {
        return Fail(Error(ErrorCode::kOutOfMemory, "no memory for the GGUF header")
                        .Expected(static_cast<uint64_t>(size_bytes)));
      }
      static_cast<void>(data_.release());
      data_.reset(static_cast<std::byte*>(moved));
    }
    size_ = size_bytes;
    return {};
  }

  std::byte* data() { return data_.get(); }
  const std::byte* data() const { return data_.get(); }
  size_t size() const { return size_; }
  std::span<const std::byte> span() const { return {data_.get(), size_}; }

 private:
  struct Free {
    void operator()(std::byte* bytes) const { std::free(bytes); }
  };
  std::unique_ptr<std::byte, Free> data_;
  size_t size_ = 0;
};

}  // namespace gguf_shard
