// Integers of any size as a small symbol plus raw bits.
//
// A magnitude below 16 is its own token. Above, with e = floor(log2(magnitude)), the token is
// 16 + 4 (e - 4) + the two bits below the leading one, and e - 2 raw bits follow. A signed value's
// symbol is 0 for 0, 2 token - 1 for a positive and 2 token for a negative value.
//
// Raw bits are packed low bits first. Thread-safety: pure functions; a bit stream is for one
// thread.
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <vector>

#include "core/bytes.h"
#include "core/error.h"

namespace gguf_shard {

constexpr uint32_t kDirectTokens = 16;

constexpr uint32_t MagnitudeToken(uint32_t magnitude) {
  if (magnitude < kDirectTokens) return magnitude;
  const uint32_t e = static_cast<uint32_t>(std::bit_width(magnitude)) - 1;
  return kDirectTokens + 4 * (e - 4) + (magnitude >> (e - 2) & 3);
}
constexpr uint32_t TokenRawBits(uint32_t token) {
  return token < kDirectTokens ? 0 : (token - kDirectTokens) / 4 + 2;
}
// The smallest magnitude of a token below 128.
constexpr uint32_t TokenBase(uint32_t token) {
  if (token < kDirectTokens) return token;
  return (4 + (token - kDirectTokens) % 4) << TokenRawBits(token);
}

// |value| <= 2^31.
constexpr uint8_t SignedSymbol(int64_t value) {
  if (value == 0) return 0;
  const auto magnitude = static_cast<uint32_t>(value < 0 ? -value : value);
  return static_cast<uint8_t>(2 * MagnitudeToken(magnitude) - (value < 0 ? 0 : 1));
}
constexpr uint32_t SymbolToken(uint8_t symbol) { return (symbol + 1u) / 2; }

class BitWriter {
 public:
  void Put(uint32_t value, uint32_t bits) {
    buffer_ |= uint64_t{value} << filled_;
    filled_ += bits;
    while (filled_ >= 8) {
      bytes_.push_back(static_cast<std::byte>(buffer_));
      buffer_ >>= 8;
      filled_ -= 8;
    }
  }
  // The raw bits of a magnitude, after its token.
  void PutMagnitude(uint32_t magnitude) {
    const uint32_t bits = TokenRawBits(MagnitudeToken(magnitude));
    Put(magnitude & ((1u << bits) - 1), bits);
  }
  std::vector<std::byte> Finish() {
    if (filled_ != 0) bytes_.push_back(static_cast<std::byte>(buffer_));
    return std::move(bytes_);
  }

 private:
  std::vector<std::byte> bytes_;
  uint64_t buffer_ = 0;
  uint32_t filled_ = 0;
};

class BitReader {
 public:
  explicit BitReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  // At most 32 bits; zeros beyond the end, which Finish reports.
  uint32_t Get(uint32_t bits) {
    if (filled_ < bits) Refill();
    const auto value = static_cast<uint32_t>(buffer_ & ((uint64_t{1} << bits) - 1));
    buffer_ >>= bits;
    filled_ -= bits;
    return value;
  }
  // The magnitude whose token (below 128) was read.
  uint32_t GetMagnitude(uint32_t token) { return TokenBase(token) + Get(TokenRawBits(token)); }

  Result<void> Finish() const {
    if (next_ - filled_ / 8 == bytes_.size()) return {};
    return Fail(ErrorCode::kMalformed, "the raw bits of a frame do not end with its symbols");
  }

 private:
  void Refill() {
    if (next_ < bytes_.size() && bytes_.size() - next_ >= sizeof(uint32_t)) {
      buffer_ |= uint64_t{LoadLe<uint32_t>(bytes_.data() + next_)} << filled_;
      next_ += sizeof(uint32_t);
      filled_ += 32;
      return;
    }
    for (; filled_ < 32; filled_ += 8, ++next_) {
      if (next_ >= bytes_.size()) continue;
      buffer_ |= uint64_t{static_cast<uint8_t>(bytes_[next_])} << filled_;
    }
  }

  std::span<const std::byte> bytes_;
  uint64_t buffer_ = 0;
  uint32_t filled_ = 0;
  size_t next_ = 0;  // bytes taken into the buffer, zeros beyond the end included
};

}  // namespace gguf_shard
