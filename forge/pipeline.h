// Runs batches through three stages, overlapped over all cores:
//
//   load     a few threads, waiting for the disk most of the time
//   work     as many threads as processors and a few more (they may write)
//   finish   the calling thread, strictly in batch order: hashing, progress
//   beside   one more thread, strictly in batch order too, beside `finish`: a second hash. Where
//            there is none the stage is left empty
//
// A batch is over when both of the last have had it; they only look at it. Memory is bounded by the
// buffer pool: a batch takes its buffer, in order, before it is loaded and gives it back when it is
// finished. The first error, or Ctrl-C, stops everything; RunPipeline returns when every thread has
// ended. Thread-safety: `load` and `work` are called from many threads at once, each for another
// batch.
#pragma once

#include <functional>
#include <optional>
#include <span>

#include "core/error.h"
#include "forge/batch.h"
#include "forge/buffer_pool.h"

namespace gguf_shard {

// Memory for buffers; everything else a job needs is small. The default is a buffer for every
// thread and a few to wait in the queues: more would only push batches out of the processor's cache
// before their next stage.
inline constexpr uint64_t kMaxPipelineBudgetBytes = uint64_t{160} << 20;
uint64_t DefaultPipelineBudgetBytes();

// A batch on its way. The buffer is cut in two: pages, then room for the source bytes with a page
// to spare on either side. The source bytes lie in it as they lie in their file, relative to page
// boundaries, so that whole pages of them can be read and written directly.
struct BatchWork {
  Batch batch;
  PooledBuffer buffer;
  std::span<std::byte> pages;          // batch.page_bytes
  std::span<std::byte> source_window;  // page-aligned, source_bytes plus two pages
  std::span<std::byte> source;         // batch.source_bytes, within the window
};

struct PipelineStages {
  std::function<std::optional<Batch>()> next;  // called by one thread at a time
  std::function<Result<void>(BatchWork&)> load;
  std::function<Result<void>(BatchWork&)> work;
  std::function<Result<void>(BatchWork&)> finish;
  std::function<Result<void>(BatchWork&)> beside;  // may be empty
};

Result<void> RunPipeline(const PipelineStages& stages,
                         uint64_t budget_bytes = DefaultPipelineBudgetBytes());

}  // namespace gguf_shard
