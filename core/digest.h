// Digests: SHA-256 for files (what model hubs list), XXH3-128 for a tensor's bytes (fast equality).
// A hasher is for one thread; the free functions are thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace gguf_shard {

using Sha256Digest = std::array<std::byte, 32>;
using Xxh128Digest = std::array<std::byte, 16>;  // canonical (big-endian) form

class Sha256Hasher {
 public:
  Sha256Hasher();
  ~Sha256Hasher();
  Sha256Hasher(Sha256Hasher&&) noexcept;
  Sha256Hasher& operator=(Sha256Hasher&&) noexcept;
  void Update(std::span<const std::byte> bytes);
  Sha256Digest Finish();  // once, last

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class Xxh128Hasher {
 public:
  Xxh128Hasher();
  ~Xxh128Hasher();
  Xxh128Hasher(Xxh128Hasher&&) noexcept;
  Xxh128Hasher& operator=(Xxh128Hasher&&) noexcept;
  void Update(std::span<const std::byte> bytes);
  Xxh128Digest Finish() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

Sha256Digest Sha256(std::span<const std::byte> bytes);
std::string ToHex(std::span<const std::byte> bytes);  // lower case
// False when `hex` is not exactly 2 * out.size() hexadecimal digits.
bool FromHex(std::string_view hex, std::span<std::byte> out);

}  // namespace gguf_shard
