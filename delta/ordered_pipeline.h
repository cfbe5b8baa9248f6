// Items produced on worker threads and consumed in order on the calling thread, with a bound on how
// many are in flight. The first error, in the order of the items, ends everything and is returned.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "core/cancel.h"
#include "core/error.h"

namespace gguf_shard {

template <typename Item>
class OrderedPipeline {
 public:
  OrderedPipeline(uint64_t count, uint32_t thread_count)
      : count_(count), window_(thread_count * 3), slots_(window_) {
    threads_.reserve(thread_count);
    thread_count_ = thread_count;
  }
  OrderedPipeline(const OrderedPipeline&) = delete;
  OrderedPipeline& operator=(const OrderedPipeline&) = delete;

  // produce(index) -> Result<Item>, from many threads; consume(index, Item&) -> Result<void>.
  template <typename Produce, typename Consume>
  Result<void> Run(const Produce& produce, const Consume& consume) {
    for (uint32_t i = 0; i < thread_count_; ++i) {
      threads_.emplace_back([&] { Work(produce); });
    }
    Result<void> result;
    for (uint64_t index = 0; index < count_ && result; ++index) {
      std::optional<Result<Item>> item = Take(index);
      result = *item ? CheckCancelled() : Result<void>(Fail((*item).error()));
      if (result) result = consume(index, **item);
    }
    Stop();
    return result;
  }

 private:
  template <typename Produce>
  void Work(const Produce& produce) {
    while (true) {
      uint64_t index = 0;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock,
                      [&] { return stopped_ || next_ == count_ || next_ < consumed_ + window_; });
        if (stopped_ || next_ == count_) return;
        index = next_++;
      }
      Result<Item> item = produce(index);
      const std::lock_guard lock(mutex_);
      slots_[index % window_].emplace(std::move(item));
      changed_.notify_all();
    }
  }

  std::optional<Result<Item>> Take(uint64_t index) {
    std::unique_lock lock(mutex_);
    auto& slot = slots_[index % window_];
    changed_.wait(lock, [&] { return slot.has_value(); });
    std::optional<Result<Item>> item = std::move(slot);
    slot.reset();
    ++consumed_;
    changed_.notify_all();
    return item;
  }

  void Stop() {
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
      changed_.notify_all();
    }
    for (std::thread& thread : threads_) thread.join();
  }

  uint64_t count_;
  uint64_t window_;
  uint32_t thread_count_ = 1;
  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t next_ = 0;
  uint64_t consumed_ = 0;
  bool stopped_ = false;
  std::vector<std::optional<Result<Item>>> slots_;
  std::vector<std::thread> threads_;
};

}  // namespace gguf_shard
