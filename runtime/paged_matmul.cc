#include "runtime/paged_matmul.h"

#include <algorithm>

#include "core/check.h"

namespace gguf_shard {

PagedMatMul::PagedMatMul(const CoreMap& map, Atlas& atlas, WorkerPool& workers, KernelIsa isa,
                         size_t max_tasks, TraceWriter* trace)
    : map_(map),
      atlas_(atlas),
      workers_(workers),
      isa_(isa),
      trace_(trace),
      first_job_(max_tasks),
      first_run_(max_tasks) {}

Result<void> PagedMatMul::Compute(std::span<const MatMulTask> tasks) {
  GS_CHECK(tasks.size() <= first_job_.size());
  task_count_ = tasks.size();
  size_t job_count = 0;
  for (size_t index = 0; index < tasks.size(); ++index) {
    const MatrixSlice& weights = tasks[index].weights;
    if (trace_ != nullptr) {
      trace_->Use(map_.tensors[weights.tensor_index].first_shard_id + weights.slice);
    }
    const RunSpan runs = atlas_.run_table().RunsOf(weights.tensor_index, weights.slice);
    first_job_[index] = job_count;
    first_run_[index] = runs.first_run;
    job_count += runs.run_count;
  }
  return workers_.TryForEach(job_count, [&](size_t job_index, uint32_t) {
    const Place place = Find(job_index);
    return MultiplyRun(tasks[place.task_index], place.run_index);
  });
}

PagedMatMul::Place PagedMatMul::Find(size_t job_index) const {
  const auto end = first_job_.begin() + static_cast<ptrdiff_t>(task_count_);
  const auto after = std::upper_bound(first_job_.begin(), end, job_index);
  const auto task_index = static_cast<size_t>(after - first_job_.begin()) - 1;
  const auto run_offset = static_cast<uint32_t>(job_index - first_job_[task_index]);
  return {task_index, first_run_[task_index] + run_offset};
}

// Workers take runs in turns, and matrices are used in the order in which they lie.
const std::byte* PagedMatMul::LikelyNext(uint32_t run_index) const {
  const uint32_t next = run_index + workers_.worker_count();
  return next < atlas_.run_table().run_count() ? atlas_.SettledPages(next) : nullptr;
}

Result<void> PagedMatMul::MultiplyRun(const MatMulTask& task, uint32_t run_index) {
  const Run& run = atlas_.run_table().run(run_index);
  const TensorLayout& layout = map_.tensors[run.tensor_index].layout;
  GS_ASSIGN(const PinnedRun pinned, atlas_.Pin(run_index));
  const StripRun strips = {
      .type = layout.type,
      .geometry = layout.geometry(),
      .rows = layout.rows,
      .pages_per_strip = layout.pages_per_strip(),
      .first_strip = run.first_unit,
      .strip_count = run.unit_count,
      .pages = pinned.pages(),
      .next_pages = LikelyNext(run_index),
  };
  MatMul(isa_, strips, *task.x, task.tokens, task.y, task.y_stride);
  return {};
}

}  // namespace gguf_shard
