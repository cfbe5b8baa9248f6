#include "runtime/paged_matmul.h"

#include <algorithm>
#include <array>

#include "core/check.h"
#include "core/page.h"

namespace gguf_shard {
namespace {

// Runs that a worker takes at once, at most.
constexpr size_t kMaxStretchRuns = 16;
// Batches read a run several times, a few tokens at a time: it must stay in a processor's cache.
constexpr size_t kMaxStretchTokens = 4;

}  // namespace

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
  job_count_ = 0;
  for (size_t index = 0; index < tasks.size(); ++index) {
    const MatrixSlice& weights = tasks[index].weights;
    if (trace_ != nullptr) {
      trace_->Use(map_.tensors[weights.tensor_index].first_shard_id + weights.slice);
    }
    const RunSpan runs = atlas_.run_table().RunsOf(weights.tensor_index, weights.slice);
    first_job_[index] = job_count_;
    first_run_[index] = runs.first_run;
    job_count_ += runs.run_count;
  }
  return workers_.TryForEachStretch(
      job_count_,
      [&](size_t first_job, size_t most) { return StretchExtent(tasks, first_job, most); },
      [&](const IndexStretch& stretch, uint32_t) { return MultiplyStretch(tasks, stretch); });
}

PagedMatMul::Place PagedMatMul::Find(size_t job_index) const {
  const auto end = first_job_.begin() + static_cast<ptrdiff_t>(task_count_);
  const auto after = std::upper_bound(first_job_.begin(), end, job_index);
  const auto task_index = static_cast<size_t>(after - first_job_.begin()) - 1;
  const auto run_offset = static_cast<uint32_t>(job_index - first_job_[task_index]);
  return {task_index, first_run_[task_index] + run_offset};
}

// Runs of the first one's task that stay where they are, each behind the one before.
size_t PagedMatMul::StretchExtent(std::span<const MatMulTask> tasks, size_t first_job,
                                  size_t most) const {
  const Place place = Find(first_job);
  if (tasks[place.task_index].tokens.size() > kMaxStretchTokens) return 1;
  const size_t next_task = place.task_index + 1;
  const size_t task_end = next_task < task_count_ ? first_job_[next_task] : job_count_;
  most = std::min({most, kMaxStretchRuns, task_end - first_job});
  const std::byte* pages = atlas_.SettledPages(place.run_index);
  size_t count = 1;
  for (; pages != nullptr && count < most; ++count) {
    const auto run_index = static_cast<uint32_t>(place.run_index + count);
    pages += atlas_.run_table().run(run_index - 1).page_count * kPageBytes;
    if (atlas_.SettledPages(run_index) != pages) break;
  }
  return count;
}

// Matrices are used in the order in which they lie.
const std::byte* PagedMatMul::LikelyNext(size_t run_index) const {
  if (run_index >= atlas_.run_table().run_count()) return nullptr;
  return atlas_.SettledPages(static_cast<uint32_t>(run_index));
}

Result<void> PagedMatMul::MultiplyStretch(std::span<const MatMulTask> tasks,
                                          const IndexStretch& stretch) {
  const Place place = Find(stretch.first);
  const MatMulTask& task = tasks[place.task_index];
  std::array<PinnedRun, kMaxStretchRuns> pinned;
  uint64_t strip_count = 0;
  for (size_t i = 0; i < stretch.count; ++i) {
    const auto run_index = static_cast<uint32_t>(place.run_index + i);
    GS_ASSIGN(pinned[i], atlas_.Pin(run_index));
    strip_count += atlas_.run_table().run(run_index).unit_count;
  }
  const Run& first_run = atlas_.run_table().run(place.run_index);
  const TensorLayout& layout = map_.tensors[first_run.tensor_index].layout;
  const StripRun strips = {
      .type = layout.type,
      .geometry = layout.geometry(),
      .rows = layout.rows,
      .pages_per_strip = layout.pages_per_strip(),
      .first_strip = first_run.first_unit,
      .strip_count = strip_count,
      .pages = pinned[0].pages(),
      .next_pages = LikelyNext(place.run_index + (stretch.likely_next - stretch.first)),
  };
  MatMul(isa_, strips, *task.x, task.tokens, task.y, task.y_stride);
  return {};
}

}  // namespace gguf_shard
