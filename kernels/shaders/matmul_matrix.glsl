// y[token][row] as matmul.glsl has it, by cooperative matrices: 16 rows by 16 tokens to a subgroup.
//
// They multiply 16-bit floats. So that nothing of a weight or an activation is lost, each is split
// in two, a = high + low, and the product is high * high + high * low + low * high, summed in f32:
// 2^-22 of a value remains out. Fixed factors keep both halves in the range of 16 bits.
//
// A token's result depends on nothing but its own column, but its last bits are not those of
// matmul.glsl, which takes single tokens.
#extension GL_NV_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#include "kernels/shaders/decode_unit.glsl"

layout(local_size_x_id = 2) in;  // one subgroup

layout(push_constant) uniform Push {
  PageTable table;
  Vectors x;       // [row][x_stride], each row 16-byte aligned
  Floats y;        // [token][y_stride]
  Words x_rows;    // which row of x each token has; read when has_x_rows
  uint first_page;  // of the matrix, in the core
  uint pages_per_strip;
  uint columns;
  uint rows;
  uint first_strip;
  uint token_count;
  uint x_stride;
  uint y_stride;
  uint has_x_rows;
} push;

const uint kSide = 16;
const uint kUnit = 32;
const float kWeightFactor = 16.0;
const float kXFactor = 1.0 / 64;

shared float16_t weights_high[kSide * kUnit];  // [row][column]
shared float16_t weights_low[kSide * kUnit];
shared float16_t x_high[kSide * kUnit];  // [token][column]
shared float16_t x_low[kSide * kUnit];
shared float result[kSide * kSide];  // [row][token]

uint FirstOfX(uint token) {
  const uint inside = min(token, push.token_count - 1);
  return (push.has_x_rows != 0 ? push.x_rows.at[inside] : inside) * push.x_stride;
}

// 16 weights of a row: the unit's first half or its second.
void StoreWeights(Words page, uint unit, uint first_row, uint row, uint part) {
  vec4 weights[8];
  const uint tile_row = min(first_row + row, kTileRows - 1);
  Decode(BlockOfTile(page, tile_row, unit / kUnitsPerBlock), unit % kUnitsPerBlock, weights);
  for (uint i = 0; i < kSide; ++i) {
    const float weight = weights[part * 4 + i / 4][i % 4] * kWeightFactor;
    const float16_t high = float16_t(weight);
    const uint at = row * kUnit + part * kSide + i;
    weights_high[at] = high;
    weights_low[at] = float16_t(weight - float(high));
  }
}

void StoreX(uint token, uint first_of_x, uint column, uint part) {
  for (uint i = 0; i < kSide; i += 4) {
    const vec4 values = push.x.at[(first_of_x + column + part * kSide + i) / 4] * kXFactor;
    for (uint j = 0; j < 4; ++j) {
      const float16_t high = float16_t(values[j]);
      const uint at = token * kUnit + part * kSide + i + j;
      x_high[at] = high;
      x_low[at] = float16_t(values[j] - float(high));
    }
  }
}

void main() {
  const uint groups = (kTileRows + kSide - 1) / kSide;
  const uint strip = push.first_strip + gl_WorkGroupID.x / groups;
  const uint first_row = gl_WorkGroupID.x % groups * kSide;
  const uint first_token = gl_WorkGroupID.y * kSide;

  fcoopmatNV<32, gl_ScopeSubgroup, kSide, kSide> sums =
      fcoopmatNV<32, gl_ScopeSubgroup, kSide, kSide>(0.0);
  for (uint tile = 0; tile < push.pages_per_strip; ++tile) {
    Words page = push.table.pages[push.first_page + strip * push.pages_per_strip + tile];
    for (uint unit = 0; unit < kTileColumns / kUnit; ++unit) {
      const uint column = tile * kTileColumns + unit * kUnit;
      if (column >= push.columns) break;
      for (uint i = gl_LocalInvocationIndex; i < 2 * kSide; i += gl_WorkGroupSize.x) {
        StoreWeights(page, unit, first_row, i % kSide, i / kSide);
        StoreX(i % kSide, FirstOfX(first_token + i % kSide), column, i / kSide);
      }
      barrier();
      for (uint part = 0; part < kUnit; part += kSide) {
        fcoopmatNV<16, gl_ScopeSubgroup, kSide, kSide> high;
        fcoopmatNV<16, gl_ScopeSubgroup, kSide, kSide> low;
        fcoopmatNV<16, gl_ScopeSubgroup, kSide, kSide> other_high;
        fcoopmatNV<16, gl_ScopeSubgroup, kSide, kSide> other_low;
        coopMatLoadNV(high, weights_high, part, kUnit, false);
        coopMatLoadNV(low, weights_low, part, kUnit, false);
        coopMatLoadNV(other_high, x_high, part, kUnit, true);
        coopMatLoadNV(other_low, x_low, part, kUnit, true);
        sums = coopMatMulAddNV(low, other_high, sums);
        sums = coopMatMulAddNV(high, other_low, sums);
        sums = coopMatMulAddNV(high, other_high, sums);
      }
      barrier();
    }
  }
  coopMatStoreNV(sums, result, 0, kSide, false);
  barrier();
  for (uint i = gl_LocalInvocationIndex; i < kSide * kSide; i += gl_WorkGroupSize.x) {
    const uint row = i % kSide;
    const uint token = i / kSide;
    const uint matrix_row = strip * kTileRows + first_row + row;
    const bool inside = first_row + row < kTileRows && matrix_row < push.rows &&
                        first_token + token < push.token_count;
    if (inside) {
      push.y.at[(first_token + token) * push.y_stride + matrix_row] =
          result[row * kSide + token] / (kWeightFactor * kXFactor);
    }
  }
}
