// Decoded frames, kept while they are likely to be asked for again. A frame that several threads
// ask for at once is decoded once. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <future>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "core/error.h"
#include "delta/spare_buffers.h"

namespace gguf_shard {

using FrameBytes = std::shared_ptr<const std::vector<std::byte>>;
using FreshFrame = std::shared_ptr<std::vector<std::byte>>;

class DecodedFrames {
 public:
  explicit DecodedFrames(uint64_t capacity_bytes) : capacity_bytes_(capacity_bytes) {}

  // Room for a frame to decode: whatever it holds, from a frame that nobody uses any more if there
  // is one.
  FreshFrame Room(size_t byte_size);
  // The frame's bytes, from the cache or from `decode` (called without a lock held).
  Result<FrameBytes> Get(uint32_t frame, const std::function<Result<FrameBytes>()>& decode);

 private:
  struct Entry {
    std::shared_future<Result<FrameBytes>> bytes;
    uint64_t byte_size = 0;  // 0 while it is being decoded
    std::list<uint32_t>::iterator place;
  };
  void Evict();  // with the lock held

  using Buffers = SpareBuffers<std::vector<std::byte>>;

  uint64_t capacity_bytes_;
  std::shared_ptr<Buffers> buffers_ = std::make_shared<Buffers>(4);  // frames may outlive this
  std::mutex mutex_;
  uint64_t held_bytes_ = 0;
  std::list<uint32_t> recent_;  // most recent first
  std::unordered_map<uint32_t, Entry> entries_;
};

}  // namespace gguf_shard
