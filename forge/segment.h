// A model's source files as segments: headers, tensors, gaps and zero padding, in file order. What
// sharding reads, and what reconstruction and verification write or hash, in that order.
//
// Everything that has pages has a layout: headers and gaps are plain bytes, packed like a row_major
// tensor of I8. So one pair of functions (core/tile.h PackPages, UnpackPages) serves them all.
//
// Invariant: the segments of a file follow each other without overlap and cover it exactly.
// Thread-safety: plain data and pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/map.h"

namespace gguf_shard {

enum class SegmentKind : uint8_t { kHeader, kTensor, kGap, kPadding };

struct Segment {
  SegmentKind kind = SegmentKind::kPadding;
  uint32_t source_file = 0;
  uint64_t source_offset = 0;  // in the file
  uint64_t source_bytes = 0;   // never 0
  size_t tensor_index = 0;     // into CoreMap::tensors, for kTensor
  TensorLayout layout{};       // not for kPadding
  uint64_t first_page = 0;     // in the core; not for kPadding
};

// Zero padding that a model may have in all: no honest model comes near.
inline constexpr uint64_t kMaxPaddingBytes = uint64_t{64} << 30;

// kMalformed when tensors and gaps overlap or leave their files; kTooLarge when a strip of a tensor
// is larger than kMaxUnitBytes, or the padding larger than kMaxPaddingBytes.
Result<std::vector<Segment>> SegmentsOf(const CoreMap& map);

}  // namespace gguf_shard
