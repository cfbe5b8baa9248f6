// Tasks on a fixed number of threads, with a bound on those that wait. Submit blocks while the
// queue is full; the first error stops all later tasks. Submit and Wait from one thread.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "core/error.h"

namespace gguf_shard {

class TaskGroup {
 public:
  using Task = std::function<Result<void>()>;

  explicit TaskGroup(uint32_t thread_count);
  ~TaskGroup();
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  // The error of an earlier task, if there is one; the task is then not run.
  Result<void> Submit(Task task);
  // Waits for all tasks; the first error.
  Result<void> Wait();

 private:
  void Work();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Task> waiting_;
  uint32_t running_ = 0;
  bool stopped_ = false;
  Result<void> result_;
  size_t max_waiting_;
  std::vector<std::thread> threads_;
};

}  // namespace gguf_shard
