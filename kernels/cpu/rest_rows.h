// The few rows that a tile has beyond whole vectors, where a vector of their own would be mostly
// empty: several words of each row are multiplied side by side instead.
// Thread-safety: pure functions.
#pragma once

#include "kernels/cpu/simd_common.h"

namespace gguf_shard {

// For decoders, of one instruction set each, that can do it:
//   kRows                  how many rows
//   Block(planes, group, factor, ahead, lines, sums)
// adds to `sums`, a lane to each row, the products of a block: `planes` are those of the first of
// these rows, `group` and `factor` the activations of the only token; `lines` cache lines from
// `ahead` on are fetched meanwhile. The sums have the bits that QuantizedTile gives.
template <class Decoder>
struct RestRows {
  static constexpr uint32_t kRows = 0;
};

}  // namespace gguf_shard
