// A fixed crew of threads that share loops: ForEach hands out indices one by one through an atomic
// counter, so a slow index (a page that must be waited for) holds up one worker only. The caller
// is worker 0. A loop allocates nothing.
//
// Thread-safety: ForEach from one thread at a time, never from inside a loop's body. Everything
// written before ForEach is visible to the bodies, and what they wrote is visible after it.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <thread>
#include <type_traits>
#include <vector>

#include "core/error.h"

namespace gguf_shard {

// Neighbouring indices of a loop that one worker takes at once.
struct IndexStretch {
  size_t first;
  size_t count;
  size_t likely_next;  // where this worker's next stretch will probably begin, maybe past the end
};

class WorkerPool {
 public:
  // At least one worker. kOutOfMemory when the system refuses a thread.
  static Result<std::unique_ptr<WorkerPool>> Create(uint32_t worker_count);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  uint32_t worker_count() const { return static_cast<uint32_t>(threads_.size()) + 1; }

  // Calls body(index, worker) once for each index below `count`, in rising order of start.
  template <typename Body>
  void ForEach(size_t count, Body&& body) {
    using Plain = std::remove_reference_t<Body>;
    Run(
        count,
        [](void* context, size_t index, uint32_t worker) {
          (*static_cast<Plain*>(context))(index, worker);
        },
        &body);
  }

  // The same for bodies that return Result<void>: after the first error no further index starts,
  // and that error is returned.
  template <typename Body>
  Result<void> TryForEach(size_t count, Body&& body) {
    FirstError first_error;
    ForEach(count, [&](size_t index, uint32_t worker) {
      if (first_error.happened()) return;
      if (Result<void> result = body(index, worker); !result) {
        first_error.Set(std::move(result).error());
      }
    });
    return first_error.Take();
  }

  // The same in stretches that cover the indices: body(stretch, worker). A worker asks for a part
  // of its fair share of what is left, so stretches become shorter towards the end;
  // extent(first, most) tells how many indices, at least one and at most `most`, it gets.
  template <typename Extent, typename Body>
  Result<void> TryForEachStretch(size_t count, Extent&& extent, Body&& body) {
    alignas(64) std::atomic<size_t> next = 0;
    const auto take_stretches = [&](size_t, uint32_t worker) -> Result<void> {
      size_t first = next.load(std::memory_order_relaxed);
      while (first < count) {
        const size_t taken = extent(first, StretchWish(count - first));
        if (!next.compare_exchange_weak(first, first + taken, std::memory_order_relaxed)) continue;
        const size_t taken_by_others = (worker_count() - 1) * StretchWish(count - first - taken);
        const IndexStretch stretch{first, taken, first + taken + taken_by_others};
        if (Result<void> result = body(stretch, worker); !result) {
          next.store(count, std::memory_order_relaxed);  // nothing is left for the others
          return result;
        }
        first = next.load(std::memory_order_relaxed);
      }
      return {};
    };
    return TryForEach(std::min<size_t>(worker_count(), count), take_stretches);
  }

 private:
  using PlainBody = void (*)(void* context, size_t index, uint32_t worker);

  class FirstError {
   public:
    bool happened() const { return happened_.load(std::memory_order_relaxed); }
    void Set(Error error);
    Result<void> Take();

   private:
    std::atomic<bool> happened_ = false;
    std::mutex mutex_;
    std::optional<Error> error_;
  };

  WorkerPool() = default;
  // Half of a worker's fair share: what is left then suffices to even out differences.
  size_t StretchWish(size_t indices_left) const {
    return std::max<size_t>(1, indices_left / (2 * size_t{worker_count()}));
  }
  void Run(size_t count, PlainBody body, void* context);
  void Drain(uint32_t worker);
  void WorkerMain(uint32_t worker);

  std::vector<std::thread> threads_;
  // One loop at a time: `epoch_` rises when it is set up, `busy_` counts threads still in it.
  std::atomic<uint32_t> epoch_ = 0;
  std::atomic<uint32_t> busy_ = 0;
  std::atomic<bool> stopping_ = false;
  std::atomic<size_t> next_index_ = 0;
  size_t count_ = 0;
  PlainBody body_ = nullptr;
  void* context_ = nullptr;
};

}  // namespace gguf_shard
