// What the compute shaders get as push constants: each struct is the Push block of the shader of
// its name, member for member (kernels/shaders). Addresses are device addresses; rows of floats
// begin every `stride` values. Thread-safety: plain data.
#pragma once

#include <cstdint>

#include "core/tile.h"
#include "kernels/vector_ops.h"

namespace gguf_shard {

// A matrix in column_major pages, as the device sees it.
struct DeviceMatrix {
  TensorType type = TensorType::kF32;
  uint32_t tile_rows = 0;
  uint32_t tile_columns = 0;
  uint32_t first_page = 0;  // of the slice, in the core
  uint32_t pages_per_strip = 0;
  uint32_t columns = 0;
  uint32_t rows = 0;
};
// `first_page` of the slice in the core; the layout is column_major, of at most 2^31 pages.
DeviceMatrix DescribeMatrix(const TensorLayout& layout, uint64_t first_page);

// y[i] = W x[i] for the rows of some strips.
struct MatMulArguments {
  uint64_t page_table = 0;
  // Rows of floats, 16-byte aligned: x_stride is a multiple of 4. For a type that is multiplied by
  // integer dot products packed rows, whose x_stride counts kPackedVectorBytes.
  uint64_t x = 0;
  uint64_t y = 0;
  uint64_t x_rows = 0;  // u32 for each token: its row of x; 0: token i has row i
  uint32_t first_page = 0;
  uint32_t pages_per_strip = 0;
  uint32_t columns = 0;
  uint32_t rows = 0;
  uint32_t first_strip = 0;
  uint32_t token_count = 0;
  uint32_t x_stride = 0;
  uint32_t y_stride = 0;
  uint32_t has_x_rows = 0;
};

// Rows of floats as integer dot products take them (kernels/shaders/packed.glsl).
inline constexpr uint64_t kPackedUnitColumns = 32;
inline constexpr uint64_t kPackedUnitVectors = 5;
inline constexpr uint64_t kPackedVectorBytes = 16;
struct PackRowsArguments {
  uint64_t values = 0;
  uint64_t rows = 0;
  uint32_t columns = 0;
  uint32_t stride = 0;
  uint32_t units = 0;  // in a row: columns / 32, rounded up
};

// values[token] = a row of a table of any layout, for tokens [first_token, + count).
struct GatherArguments {
  uint64_t page_table = 0;
  uint64_t places = 0;  // (page of the core, block or tile row) u32 x 2 for each token
  uint64_t values = 0;
  uint32_t columns = 0;
  uint32_t stride = 0;
  uint32_t first_token = 0;
};

// hidden += branch + bias; normed = hidden / rms(hidden) * weight.
struct RmsNormArguments {
  uint64_t hidden = 0;
  uint64_t branch = 0;
  uint64_t bias = 0;
  uint64_t weight = 0;
  uint64_t normed = 0;
  uint32_t first_row = 0;
  uint32_t width = 0;
  uint32_t stride = 0;
  float epsilon = 0;
  uint32_t adds_branch = 0;
  uint32_t adds_bias = 0;
  uint32_t norms = 0;
};

// Bias, norm and rotation of query and key heads; keys and values go to the cache.
struct PrepareHeadsArguments {
  uint64_t query = 0;
  uint64_t key = 0;
  uint64_t value = 0;
  uint64_t bias = 0;   // of query, key, value, one after another
  uint64_t norms = 0;  // of query and key heads
  uint64_t turns = 0;  // [token] x rotated / 2 x (cosine, sine)
  uint64_t cache = 0;  // of the layer
  uint32_t head_count = 0;
  uint32_t head_count_kv = 0;
  uint32_t first_position = 0;
  uint32_t positions = 0;
  uint32_t query_stride = 0;
  uint32_t key_stride = 0;
  uint32_t value_stride = 0;
  float epsilon = 0;
  uint32_t has_bias = 0;
  uint32_t has_norms = 0;
};

struct AttentionArguments {
  uint64_t query = 0;
  uint64_t attended = 0;
  uint64_t cache = 0;
  uint32_t first_position = 0;
  uint32_t positions = 0;
  uint32_t group_heads = 0;
  uint32_t query_stride = 0;
  uint32_t attended_stride = 0;
  float scale = 0;
};

// gate = silu(gate + bias) * (up + bias)
struct SwiGluArguments {
  uint64_t gate = 0;
  uint64_t up = 0;
  uint64_t gate_bias = 0;
  uint64_t up_bias = 0;
  uint32_t width = 0;
  uint32_t stride = 0;
  uint32_t has_gate_bias = 0;
  uint32_t has_up_bias = 0;
};

// The most probable experts of each token, rising, and their shares.
struct RouteExpertsArguments {
  uint64_t router = 0;   // scores; changed
  uint64_t chosen = 0;   // u32 [token][used_count]
  uint64_t weights = 0;  // [token][used_count]
  uint32_t expert_count = 0;
  uint32_t used_count = 0;
  uint32_t stride = 0;
};

// branch[token] = sum of weights x outputs[pairs], in the order of the choices.
struct CombineExpertsArguments {
  uint64_t outputs = 0;
  uint64_t pairs = 0;  // u32 [token][used_count]
  uint64_t weights = 0;
  uint64_t branch = 0;
  uint32_t width = 0;
  uint32_t stride = 0;
  uint32_t used_count = 0;
};

// What the heads of a model look like: fixed in the pipelines.
struct HeadShape {
  KvType kv_type = KvType::kF32;
  uint32_t key_length = 0;
  uint32_t value_length = 0;
  uint32_t rotated = 0;
  bool adjacent_pairs = true;
};

// Bytes of a cached row on the device (kernels/shaders/kv_row.glsl): whole words; q8_0 scales are
// f32. `count` is a multiple of 32 for kQ8_0.
uint64_t DeviceKvRowBytes(KvType type, uint32_t count);

}  // namespace gguf_shard
