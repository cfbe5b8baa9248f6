// Random bytes that are the same on every machine. For one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/bytes.h"

namespace gguf_shard {

// splitmix64: fast, and the same everywhere.
class RandomBytes {
 public:
  explicit RandomBytes(uint64_t seed) : state_(seed) {}
  uint64_t Next() {
    uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  void Fill(std::byte* target, size_t bytes) {
    for (; bytes >= 8; bytes -= 8, target += 8) StoreLe(target, Next());
    const uint64_t last = Next();
    std::memcpy(target, &last, bytes);
  }

 private:
  uint64_t state_;
};

}  // namespace gguf_shard
