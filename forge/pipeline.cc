#include "forge/pipeline.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>

#include "core/cancel.h"

namespace gguf_shard {
namespace {

constexpr unsigned kLoadThreads = 4;
constexpr unsigned kMaxWorkThreads = 32;
// Two huge pages. Pages of a batch are rarely more than a twentieth above its source.
constexpr uint64_t kStandardBufferBytes = 2 * kBatchBytes + (uint64_t{384} << 10);

unsigned WorkThreads() {
  // Two more than processors: some always wait for their writes.
  return std::clamp(std::thread::hardware_concurrency(), 1u, kMaxWorkThreads - 2) + 2;
}

class Pipeline {
 public:
  Pipeline(const PipelineStages& stages, uint64_t budget_bytes)
      : stages_(stages), pool_(budget_bytes, kStandardBufferBytes) {}

  Result<void> Run() {
    std::vector<std::jthread> threads;
    try {
      for (unsigned i = 0; i < kLoadThreads; ++i) threads.emplace_back([this] { LoadAll(); });
      for (unsigned i = 0; i < WorkThreads(); ++i) threads.emplace_back([this] { WorkAll(); });
      if (stages_.beside) threads.emplace_back([this] { FinishAll(stages_.beside); });
    } catch (const std::system_error&) {
      Stop(Error(ErrorCode::kOutOfMemory, "cannot start a thread"));
    }
    FinishAll(stages_.finish);
    threads.clear();  // joins
    loaded_.clear();  // batches give their buffers back before the pool goes
    worked_.clear();
    if (error_) return Fail(*std::move(error_));
    return {};
  }

 private:
  using Stage = std::function<Result<void>(BatchWork&)>;
  struct WorkedBatch {
    std::shared_ptr<BatchWork> work;
    int awaited_by = 1;  // stages in batch order that have not had it
  };

  // Runs a stage; its error, or a refused allocation, stops the pipeline.
  bool RunStage(const Stage& stage, BatchWork& work) {
    auto result = [&]() -> Result<void> {
      try {
        return stage(work);
      } catch (const std::bad_alloc&) {
        return Fail(ErrorCode::kOutOfMemory, "out of memory");
      }
    }();
    if (!result) Stop(std::move(result).error());
    return result.has_value();
  }

  void Stop(Error error) {
    const std::lock_guard lock(mutex_);
    if (!stopped_) error_ = std::move(error);
    stopped_ = true;
    pool_.Close();
    changed_.notify_all();
  }

  // The next batch, with its buffer; nothing at the end and when stopped.
  std::unique_ptr<BatchWork> NextWork() {
    // Held while waiting for memory: buffers are handed out in batch order, so the batch that
    // everything waits for always has its own.
    const std::lock_guard turn(next_mutex_);
    if (const auto cancelled = CheckCancelled(); !cancelled) {
      Stop(cancelled.error());
      return nullptr;
    }
    auto batch = stages_.next();
    if (!batch) {
      const std::lock_guard lock(mutex_);
      ended_ = true;
      changed_.notify_all();
      return nullptr;
    }
    const uint64_t window_bytes =
        batch->source_bytes == 0 ? 0 : batch->source_bytes + 2 * uint64_t{kPageBytes};
    auto buffer = pool_.Acquire(batch->page_bytes + window_bytes);
    if (!buffer) {
      Stop(std::move(buffer).error());
      return nullptr;
    }
    auto work = std::make_unique<BatchWork>();
    work->buffer = *std::move(buffer);
    work->pages = work->buffer.bytes().first(batch->page_bytes);
    work->source_window = work->buffer.bytes().subspan(batch->page_bytes, window_bytes);
    work->source = work->source_window.subspan(
        batch->source_bytes == 0 ? 0 : batch->source_offset % kPageBytes, batch->source_bytes);
    work->batch = *std::move(batch);
    const std::lock_guard lock(mutex_);
    ++started_count_;
    return work;
  }

  void LoadAll() {
    while (auto work = NextWork()) {
      if (!RunStage(stages_.load, *work)) return;
      const std::lock_guard lock(mutex_);
      loaded_.push_back(std::move(work));
      changed_.notify_all();
    }
  }

  void WorkAll() {
    while (auto work = TakeLoaded()) {
      if (!RunStage(stages_.work, *work)) return;
      const std::lock_guard lock(mutex_);
      ++worked_count_;
      const uint64_t sequence = work->batch.sequence;
      worked_.emplace(sequence, WorkedBatch{std::move(work), stages_.beside ? 2 : 1});
      changed_.notify_all();
    }
  }

  std::unique_ptr<BatchWork> TakeLoaded() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] {
      return stopped_ || !loaded_.empty() || (ended_ && worked_count_ == started_count_);
    });
    if (stopped_ || loaded_.empty()) return nullptr;
    auto work = std::move(loaded_.front());
    loaded_.pop_front();
    return work;
  }

  void FinishAll(const Stage& stage) {
    for (uint64_t sequence = 0;; ++sequence) {
      const auto work = TakeWorked(sequence);
      if (!work || !RunStage(stage, *work)) return;
    }
  }

  std::shared_ptr<BatchWork> TakeWorked(uint64_t sequence) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this, sequence] {
      return stopped_ || worked_.contains(sequence) || (ended_ && sequence == started_count_);
    });
    if (stopped_) return nullptr;
    const auto place = worked_.find(sequence);
    if (place == worked_.end()) return nullptr;
    std::shared_ptr<BatchWork> work = place->second.work;
    if (--place->second.awaited_by == 0) worked_.erase(place);
    return work;
  }

  const PipelineStages& stages_;
  BufferPool pool_;
  std::mutex next_mutex_;  // one thread at a time takes the next batch; locked before mutex_

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::deque<std::unique_ptr<BatchWork>> loaded_;
  std::map<uint64_t, WorkedBatch> worked_;
  uint64_t started_count_ = 0;
  uint64_t worked_count_ = 0;
  bool ended_ = false;  // no more batches will start
  bool stopped_ = false;
  std::optional<Error> error_;
};

}  // namespace

uint64_t DefaultPipelineBudgetBytes() {
  constexpr uint64_t kWaitingBatches = 4;
  const uint64_t batches = kLoadThreads + WorkThreads() + kWaitingBatches;
  return std::min(batches * kStandardBufferBytes, kMaxPipelineBudgetBytes);
}

Result<void> RunPipeline(const PipelineStages& stages, uint64_t budget_bytes) {
  return Pipeline(stages, budget_bytes).Run();
}

}  // namespace gguf_shard
