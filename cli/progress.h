// The one progress bar. On a terminal: a bar that redraws itself, with percentage, rate and
// remaining time. Otherwise: a plain line at every tenth of the way, at most one per two seconds,
// and one at the end. All of it on stderr.
//
// Thread-safety: Advance from many threads at once; the rest from one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/progress.h"

namespace gguf_shard {

// What to draw for a phase; separate from the drawing, so that it can be tested.
struct ProgressState {
  std::string label;
  uint64_t done_bytes = 0;
  uint64_t total_bytes = 0;
  double elapsed_seconds = 0;
  bool in_steps = false;  // done and total count steps, which have no rate
};
// "packing  [#####.....]  52%  1.20 GB/s  0:03 left", cut to `columns` characters.
std::string RenderBar(const ProgressState& state, uint32_t columns);
// "packing: 52% of 4.37 GiB, 1.20 GB/s, 0:03 left" or "packing: 4.37 GiB in 0:04, 1.20 GB/s"; of
// steps: "disk.full: 52% of 120, 0:03 left" or "disk.full: 120 in 0:04".
std::string RenderLine(const ProgressState& state);

// The progress display for this process: nothing when `quiet`.
std::unique_ptr<Progress> MakeProgress(bool quiet);

}  // namespace gguf_shard
