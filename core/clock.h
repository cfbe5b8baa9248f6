// How long something takes, on a clock that never goes back. Thread-safe.
#pragma once

#include <algorithm>
#include <chrono>

namespace gguf_shard {

// At least a nanosecond, so that it divides.
inline double SecondsSince(std::chrono::steady_clock::time_point start) {
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  return std::max(1e-9, elapsed.count());
}

}  // namespace gguf_shard
