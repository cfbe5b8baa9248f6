// What the driver hands to an attention kernel. Plain data without inline functions, like
// matmul_task.h. Thread-safety: a task is read only; tasks over disjoint outputs and scratch may
// run at once.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gguf_shard {

// Tokens at consecutive positions, each with some query heads that share one key/value head. Heads
// of a token lie side by side, in `queries` (key_length each) and in `attended` (value_length
// each); strides count floats.
struct AttendTask {
  const float* queries;
  size_t query_stride;
  float* attended;
  size_t attended_stride;
  uint32_t token_count;
  uint32_t head_count;
  uint32_t first_position;  // of the first token; it sees itself and all before it
  float scale;

  const std::byte* keys;  // the row of position 0
  const std::byte* values;
  size_t key_row_bytes;
  size_t value_row_bytes;
  uint32_t key_length;
  uint32_t value_length;

  float* scratch;  // AttendScratchFloats (kernels/vector_ops.h)
};

// The kernels' scratch: queries taken together, and positions.
inline constexpr uint32_t kAttendQueries = 64;
inline constexpr uint32_t kAttendPositions = 32;
inline constexpr uint32_t kAttendLanes = 16;  // no vector is wider

}  // namespace gguf_shard
