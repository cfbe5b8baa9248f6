// Runs that callers announced (Atlas::Prefetch) and that are not being loaded yet, in queues: one
// for each frame class that they wait for a frame of, one for runs with a slot of their own. Within
// a queue the oldest wish comes first; a queue whose oldest wish cannot be placed now does not hold
// up the others. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace gguf_shard {

class WishList {
 public:
  explicit WishList(uint32_t queue_count) : queues_(queue_count) {}

  uint32_t queue_count() const { return static_cast<uint32_t>(queues_.size()); }
  void Add(uint32_t queue, uint32_t run_index);
  // The oldest wish of a queue, and when it was made (older is smaller).
  struct Wish {
    uint32_t run_index;
    uint64_t made_at;
  };
  std::optional<Wish> Oldest(uint32_t queue) const;
  void DropOldest(uint32_t queue);

 private:
  struct Queue {
    std::vector<Wish> wishes;
    size_t next = 0;
  };
  std::vector<Queue> queues_;
  uint64_t made_count_ = 0;
};

}  // namespace gguf_shard
