#include "delta/decoded_frames.h"

namespace gguf_shard {

FreshFrame DecodedFrames::Room(size_t byte_size) {
  FreshFrame frame(new std::vector<std::byte>(buffers_->Take()),
                   [buffers = buffers_](std::vector<std::byte>* bytes) {
                     buffers->Keep(std::move(*bytes));
                     delete bytes;
                   });
  frame->resize(byte_size);
  return frame;
}

Result<FrameBytes> DecodedFrames::Get(uint32_t frame,
                                      const std::function<Result<FrameBytes>()>& decode) {
  std::promise<Result<FrameBytes>> promise;
  std::shared_future<Result<FrameBytes>> ready;
  {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(frame);
    if (found != entries_.end()) {
      recent_.splice(recent_.begin(), recent_, found->second.place);
      ready = found->second.bytes;
    } else {
      recent_.push_front(frame);
      entries_[frame] = {promise.get_future().share(), 0, recent_.begin()};
    }
  }
  if (ready.valid()) return ready.get();
  Result<FrameBytes> decoded = decode();
  promise.set_value(decoded);
  const std::lock_guard lock(mutex_);
  const auto entry = entries_.find(frame);
  if (!decoded) {
    recent_.erase(entry->second.place);
    entries_.erase(entry);
    return decoded;
  }
  entry->second.byte_size = (*decoded)->size();
  held_bytes_ += entry->second.byte_size;
  Evict();
  return decoded;
}

// Drops the least recently used frames; those being decoded stay.
void DecodedFrames::Evict() {
  auto place = recent_.end();
  while (held_bytes_ > capacity_bytes_ && place != recent_.begin()) {
    --place;
    const auto entry = entries_.find(*place);
    if (entry->second.byte_size == 0 || place == recent_.begin()) continue;
    held_bytes_ -= entry->second.byte_size;
    entries_.erase(entry);
    place = recent_.erase(place);
  }
}

}  // namespace gguf_shard
