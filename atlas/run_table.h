// The model cut into runs: adjacent pages that are read, placed, pinned and evicted together, and
// that one worker computes with. A run is whole strips of one slice (column_major) or whole pages
// (row_major), about kTargetRunPages long. Immutable; thread-safe.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/map.h"

namespace gguf_shard {

inline constexpr uint32_t kTargetRunPages = 32;  // 128 KiB

struct Run {
  uint32_t tensor_index;  // into CoreMap::tensors
  uint32_t slice;
  uint64_t first_page;  // in the core
  uint32_t page_count;
  uint64_t first_unit;  // first strip (column_major) or page (row_major) within the slice
  uint32_t unit_count;
};

struct RunSpan {
  uint32_t first_run = 0;
  uint32_t run_count = 0;
};

class RunTable {
 public:
  explicit RunTable(const CoreMap& map, uint32_t target_run_pages = kTargetRunPages);

  std::span<const Run> runs() const { return runs_; }
  const Run& run(uint32_t run_index) const { return runs_[run_index]; }
  // The runs of one slice of a tensor, in page order; empty for an empty tensor.
  RunSpan RunsOf(uint32_t tensor_index, uint32_t slice = 0) const;
  // The run that holds a page of a tensor's slice (page counted from the slice's first page).
  uint32_t RunOfPage(uint32_t tensor_index, uint32_t slice, uint64_t page) const;
  uint32_t max_run_pages() const { return max_run_pages_; }
  uint64_t total_pages() const { return total_pages_; }

 private:
  struct Slices {
    uint32_t first_run;  // of slice 0
    uint32_t runs_per_slice;
  };
  std::vector<Run> runs_;
  std::vector<Slices> slices_;  // by tensor_index
  uint32_t max_run_pages_ = 0;
  uint64_t total_pages_ = 0;
};

}  // namespace gguf_shard
