#include "runtime/worker_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <system_error>
#include <utility>

namespace gguf_shard {
namespace {

// A thread is put to sleep and woken up again in about the time that a few runs of pages take. The
// loops of a layer follow each other faster than that.
constexpr int kSpins = 1000;

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// Returns when `value` is no longer `old`.
void WaitWhile(const std::atomic<uint32_t>& value, uint32_t old) {
  for (int spin = 0; spin < kSpins; ++spin) {
    if (value.load(std::memory_order_acquire) != old) return;
    Pause();
  }
  value.wait(old, std::memory_order_acquire);
}

}  // namespace

void WorkerPool::FirstError::Set(Error error) {
  const std::lock_guard lock(mutex_);
  if (!error_) error_ = std::move(error);
  happened_.store(true, std::memory_order_relaxed);
}

Result<void> WorkerPool::FirstError::Take() {
  if (error_) return Fail(std::move(*error_));
  return {};
}

Result<std::unique_ptr<WorkerPool>> WorkerPool::Create(uint32_t worker_count) {
  std::unique_ptr<WorkerPool> pool(new WorkerPool);
  try {
    for (uint32_t worker = 1; worker < worker_count; ++worker) {
      pool->threads_.emplace_back([raw = pool.get(), worker] { raw->WorkerMain(worker); });
    }
  } catch (const std::system_error& error) {
    return Fail(ErrorCode::kOutOfMemory,
                fmt::format("cannot start thread {} of {}: {}", pool->threads_.size() + 2,
                            worker_count, error.what()));
  }
  return pool;
}

WorkerPool::~WorkerPool() {
  stopping_.store(true, std::memory_order_relaxed);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void WorkerPool::Run(size_t count, PlainBody body, void* context) {
  // Waking the crew costs more than a single index is worth.
  if (count <= 1 || threads_.empty()) {
    for (size_t index = 0; index < count; ++index) body(context, index, 0);
    return;
  }
  count_ = count;
  body_ = body;
  context_ = context;
  next_index_.store(0, std::memory_order_relaxed);
  busy_.store(static_cast<uint32_t>(threads_.size()), std::memory_order_relaxed);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  Drain(0);
  for (uint32_t busy = busy_.load(std::memory_order_acquire); busy != 0;
       busy = busy_.load(std::memory_order_acquire)) {
    WaitWhile(busy_, busy);
  }
}

void WorkerPool::Drain(uint32_t worker) {
  for (size_t index = next_index_.fetch_add(1, std::memory_order_relaxed); index < count_;
       index = next_index_.fetch_add(1, std::memory_order_relaxed)) {
    body_(context_, index, worker);
  }
}

void WorkerPool::WorkerMain(uint32_t worker) {
  uint32_t seen_epoch = 0;
  while (true) {
    WaitWhile(epoch_, seen_epoch);
    // Run() waits for every thread, so the epoch has moved by exactly one.
    seen_epoch = epoch_.load(std::memory_order_acquire);
    if (stopping_.load(std::memory_order_relaxed)) return;
    Drain(worker);
    if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) busy_.notify_one();
  }
}

}  // namespace gguf_shard
