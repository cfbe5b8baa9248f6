#include "delta/task_group.h"

#include <algorithm>

namespace gguf_shard {

TaskGroup::TaskGroup(uint32_t thread_count) : max_waiting_(std::max(1u, thread_count)) {
  for (uint32_t i = 0; i < std::max(1u, thread_count); ++i) {
    threads_.emplace_back([this] { Work(); });
  }
}

TaskGroup::~TaskGroup() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    waiting_.clear();
    changed_.notify_all();
  }
  for (std::thread& thread : threads_) thread.join();
}

Result<void> TaskGroup::Submit(Task task) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return waiting_.size() < max_waiting_ || !result_; });
  if (!result_) return result_;
  waiting_.push_back(std::move(task));
  changed_.notify_all();
  return {};
}

Result<void> TaskGroup::Wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return (waiting_.empty() || !result_) && running_ == 0; });
  return result_;
}

void TaskGroup::Work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stopped_ || (!waiting_.empty() && result_); });
    if (stopped_) return;
    Task task = std::move(waiting_.front());
    waiting_.pop_front();
    ++running_;
    changed_.notify_all();
    lock.unlock();
    Result<void> result = task();
    lock.lock();
    --running_;
    if (!result && result_) result_ = std::move(result);
    changed_.notify_all();
  }
}

}  // namespace gguf_shard
