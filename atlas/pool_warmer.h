// Gives a pool's slots real memory ahead of the first reads into them, on threads of its own.
//
// The first touch of memory takes as long as reading into it, in a virtual machine several times as
// long: the system zeroes it, and the host finds it. Reads that run into untouched slots wait for
// that one by one; threads that run ahead of them do it beside the disk, several at a time.
//
// What a slot holds is kept, so reads may overtake. Thread-safety: for one thread; its own threads
// work until the slots are done or it is destroyed, which waits for the step under way.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "atlas/page_pool.h"

namespace gguf_shard {

class PoolWarmer {
 public:
  static constexpr uint32_t kMaxThreads = 2;

  PoolWarmer() = default;
  PoolWarmer(const PoolWarmer&) = delete;
  PoolWarmer& operator=(const PoolWarmer&) = delete;
  ~PoolWarmer();

  // Begins with all slots, from the first on; once. Where the system refuses a thread, or knows no
  // such call, slots get their memory when they are read into. `pool` must outlive the warmer.
  void Start(const PagePool& pool);

 private:
  void Work(const PagePool& pool);

  std::atomic<uint64_t> next_slot_{0};
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> threads_;
};

}  // namespace gguf_shard
