// The one table of tensor types: ids, names, block sizes, and how a block is cut into planes.
//
// A tensor's rows are sequences of blocks; a block holds `block_weights` weights in `block_bytes`
// bytes. Types with a tile layout (core/tile.h) cut each block into 4-byte words plus at most one
// short field (an f16 scale, or MXFP4's exponent byte), at `short_offset`:
//
//   Q4_0   [d:2][qs:16]                 short field first, then 4 words
//   Q4_K   [d,dmin:4][scales:12][qs:128] 36 words, no short field
//   Q6_K   [ql:128][qh:64][scales:16][d:2] 52 words, then the short field
//   F16    [2]                          a short field alone
//
// Ids and sizes: ggml.h and ggml-common.h of ggml, as of August 2026. Immutable; thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace gguf_shard {

enum class TensorType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ8_1 = 9,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kQ8_K = 15,
  kIQ2_XXS = 16,
  kIQ2_XS = 17,
  kIQ3_XXS = 18,
  kIQ1_S = 19,
  kIQ4_NL = 20,
  kIQ3_S = 21,
  kIQ2_S = 22,
  kIQ4_XS = 23,
  kI8 = 24,
  kI16 = 25,
  kI32 = 26,
  kI64 = 27,
  kF64 = 28,
  kIQ1_M = 29,
  kBF16 = 30,
  kTQ1_0 = 34,
  kTQ2_0 = 35,
  kMXFP4 = 39,
  kNVFP4 = 40,
  kQ1_0 = 41,
  kQ2_0 = 42,
};

struct TensorTypeInfo {
  TensorType type;
  std::string_view name;   // as llama.cpp prints it: "Q4_K"
  uint32_t block_weights;  // weights per block
  uint32_t block_bytes;

  // Tile layout; tile_rows == 0 means that the type has none and is always row_major.
  uint32_t tile_rows;     // default tile height
  uint32_t tile_columns;  // default tile width in weights, a multiple of block_weights
  uint32_t short_offset;  // byte offset of the short field in the block
  uint32_t short_bytes;   // 0, 1 or 2

  bool has_tile_layout() const { return tile_rows != 0; }
  uint32_t words_per_block() const { return (block_bytes - short_bytes) / 4; }
  // Byte offset of word 0 in the block: words follow a leading short field, precede a trailing one.
  uint32_t words_offset() const { return short_offset == 0 ? short_bytes : 0; }
};

// The entry of a type id as stored in a GGUF file; nullptr when unknown or removed from the format.
const TensorTypeInfo* FindTensorType(uint32_t type_id);
// The entry of a known type.
const TensorTypeInfo& GetTensorType(TensorType type);
const TensorTypeInfo* FindTensorTypeByName(std::string_view name);
std::span<const TensorTypeInfo> AllTensorTypes();

inline std::string_view TensorTypeName(TensorType type) { return GetTensorType(type).name; }

}  // namespace gguf_shard
