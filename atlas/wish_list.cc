#include "atlas/wish_list.h"

#include "core/check.h"

namespace gguf_shard {

void WishList::Add(uint32_t queue_index, uint32_t run_index) {
  Queue& queue = queues_[queue_index];
  if (queue.next > queue.wishes.size() / 2) {
    queue.wishes.erase(queue.wishes.begin(),
                       queue.wishes.begin() + static_cast<ptrdiff_t>(queue.next));
    queue.next = 0;
  }
  queue.wishes.push_back({run_index, made_count_++});
}

std::optional<WishList::Wish> WishList::Oldest(uint32_t queue_index) const {
  const Queue& queue = queues_[queue_index];
  if (queue.next == queue.wishes.size()) return std::nullopt;
  return queue.wishes[queue.next];
}

void WishList::DropOldest(uint32_t queue_index) {
  Queue& queue = queues_[queue_index];
  GS_CHECK(queue.next < queue.wishes.size());
  if (++queue.next < queue.wishes.size()) return;
  queue.wishes.clear();
  queue.next = 0;
}

}  // namespace gguf_shard
