// The model cut into runs: adjacent pages that are read, placed, pinned and evicted together, and
// that one worker computes with.
//
//   column_major  whole strips of one slice, about `target_run_pages` long; a longer strip is a run
//                 by itself. A matrix gives at least kMinRunsPerMatrix runs when it has the strips,
//                 so that workers can share it.
//   row_major     whole pages. Rows of a matrix are gathered, one here and one there: its runs are
//                 a quarter of the target, so that a row costs one short read. A vector is read
//                 whole: its runs have the target length.
//
// All runs of a tensor have the same length, but for the last of each slice; the length is chosen
// near the target so that this last run is as full as it can be (the atlas gives all of them
// frames of one size). Runs are numbered in tensor order, and within a tensor in page order.
// Immutable; thread-safe.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/map.h"

namespace gguf_shard {

inline constexpr uint32_t kTargetRunPages = 32;  // 128 KiB
inline constexpr uint32_t kMinRunsPerMatrix = 8;

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
  // The map's tensors must have less than 2^32 pages in all (Atlas::Open refuses more).
  explicit RunTable(const CoreMap& map, uint32_t target_run_pages = kTargetRunPages);

  std::span<const Run> runs() const { return runs_; }
  const Run& run(uint32_t run_index) const { return runs_[run_index]; }
  uint32_t run_count() const { return static_cast<uint32_t>(runs_.size()); }
  // The runs of one slice of a tensor, in page order; empty for an empty tensor.
  RunSpan RunsOf(uint32_t tensor_index, uint32_t slice = 0) const;
  // The runs of all slices of a tensor.
  RunSpan RunsOfTensor(uint32_t tensor_index) const;
  // The run that holds a page of a tensor's slice (page counted from the slice's first page).
  uint32_t RunOfPage(uint32_t tensor_index, uint32_t slice, uint64_t page) const;
  uint32_t max_run_pages() const { return max_run_pages_; }
  uint64_t total_pages() const { return total_pages_; }

 private:
  struct Slices {
    uint32_t first_run = 0;  // of slice 0
    uint32_t runs_per_slice = 0;
    uint32_t slice_count = 0;
    uint32_t run_pages = 0;  // of all runs but the last of a slice
  };
  void AddSlice(uint32_t tensor_index, const MapTensor& tensor, uint32_t slice,
                uint32_t units_per_run, uint32_t unit_pages);

  std::vector<Run> runs_;
  std::vector<Slices> slices_;  // by tensor_index
  uint32_t max_run_pages_ = 0;
  uint64_t total_pages_ = 0;
};

}  // namespace gguf_shard
