// Buffers that served and will serve again: clearing fresh memory costs as much as filling it.
//
// Whoever needs one takes the one that came back last, whatever it holds, or an empty one. At most
// `most` wait; others are freed. Thread-safe.
#pragma once

#include <cstddef>
#include <mutex>
#include <utility>
#include <vector>

namespace gguf_shard {

template <typename Buffer>
class SpareBuffers {
 public:
  explicit SpareBuffers(size_t most) : most_(most) {}

  Buffer Take() {
    const std::lock_guard lock(mutex_);
    if (buffers_.empty()) return {};
    Buffer buffer = std::move(buffers_.back());
    buffers_.pop_back();
    return buffer;
  }
  void Keep(Buffer buffer) {
    const std::lock_guard lock(mutex_);
    if (buffers_.size() < most_) buffers_.push_back(std::move(buffer));
  }

 private:
  size_t most_;
  std::mutex mutex_;
  std::vector<Buffer> buffers_;
};

}  // namespace gguf_shard
