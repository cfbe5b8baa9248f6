// Matrix products over paged weights: workers take the matrices' runs in order; each pins its run,
// multiplies, and lets it go. Resident runs that lie next to each other are taken several at once
// for a token: memory is read fastest in long stretches. The result does not depend on who computes
// what (kernels/matmul.h).
// For one thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "atlas/atlas.h"
#include "atlas/trace.h"
#include "core/map.h"
#include "kernels/activations.h"
#include "kernels/matmul.h"
#include "runtime/weights.h"
#include "runtime/worker_pool.h"

namespace gguf_shard {

// y[i][row] = sum of W[row][column] * x[tokens[i]][column]
struct MatMulTask {
  MatrixSlice weights;
  const ActivationBatch* x;
  std::span<const uint32_t> tokens;
  float* y;
  size_t y_stride;
};

class PagedMatMul {
 public:
  // At most `max_tasks` tasks will be given at once. `trace` may be null.
  PagedMatMul(const CoreMap& map, Atlas& atlas, WorkerPool& workers, KernelIsa isa,
              size_t max_tasks, TraceWriter* trace);

  // Computes all tasks, their runs in the order given.
  Result<void> Compute(std::span<const MatMulTask> tasks);

 private:
  struct Place {
    size_t task_index;
    uint32_t run_index;
  };
  Place Find(size_t job_index) const;
  size_t StretchExtent(std::span<const MatMulTask> tasks, size_t first_job, size_t most) const;
  const std::byte* LikelyNext(size_t run_index) const;
  Result<void> MultiplyStretch(std::span<const MatMulTask> tasks, const IndexStretch& stretch);

  const CoreMap& map_;
  Atlas& atlas_;
  WorkerPool& workers_;
  KernelIsa isa_;
  TraceWriter* trace_;
  std::vector<size_t> first_job_;    // by task, of the tasks in progress
  std::vector<uint32_t> first_run_;  // by task
  size_t task_count_ = 0;
  size_t job_count_ = 0;
};

}  // namespace gguf_shard
