// y[token][row] = sum over columns of W[row][column] * x[token][column], W in column_major pages.
//
// A workgroup computes one strip (kTileRows matrix rows) for kTokens tokens. Adjacent invocations
// are adjacent rows, so that loads of a plane are adjacent; where the strip has the pages, the
// workgroup has several parts, each of which sums every kParts-th page. The parts are then added in
// order. So a value's sum has one fixed order, whatever the place of the pages, the number of
// tokens (kTokens only says how many share the decoded weights), and the split into dispatches.
#ifndef ELEMENTS
#include "kernels/shaders/decode_unit.glsl"
#endif

layout(local_size_x_id = 2) in;
layout(constant_id = 3) const uint kParts = 1;
layout(constant_id = 4) const uint kTokens = 1;

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

#ifdef ELEMENTS
const uint kUnitWeights = 16;
#else
const uint kUnitWeights = 32;
#endif
const uint kUnitVectors = kUnitWeights / 4;

shared float part_sums[kParts * kTokens * kTileRows];

#ifdef ELEMENTS
void DecodeUnit(Words page, uint row, uint unit, out vec4 weights[kUnitVectors]) {
  [[unroll]] for (uint i = 0; i < kUnitVectors; ++i) {
    [[unroll]] for (uint j = 0; j < 4; ++j) {
      const uint column = unit * kUnitWeights + i * 4 + j;
      weights[i][j] =
          column < kTileColumns ? Element(page, column * kTileRows + row) : 0.0;
    }
  }
}

// Weights behind the last column are zeros, but what lies behind x may be anything.
vec4 LoadX(uint first, uint column) {
  const vec4 values = push.x.at[(first + column) / 4];
  const uvec4 columns = column + uvec4(0, 1, 2, 3);
  return mix(vec4(0), values, lessThan(columns, uvec4(push.columns)));
}
#else
void DecodeUnit(Words page, uint row, uint unit, out vec4 weights[kUnitVectors]) {
  Decode(BlockOfTile(page, row, unit / kUnitsPerBlock), unit % kUnitsPerBlock, weights);
}

vec4 LoadX(uint first, uint column) { return push.x.at[(first + column) / 4]; }
#endif

uint FirstOfX(uint token) {
  const uint inside = min(token, push.token_count - 1);
  return (push.has_x_rows != 0 ? push.x_rows.at[inside] : inside) * push.x_stride;
}

void main() {
  const uint row = gl_LocalInvocationIndex % kTileRows;
  const uint part = gl_LocalInvocationIndex / kTileRows;
  const uint strip = push.first_strip + gl_WorkGroupID.x;
  const uint first_token = gl_WorkGroupID.y * kTokens;
  const uint tile_units = (kTileColumns + kUnitWeights - 1) / kUnitWeights;

  uint first_of_x[kTokens];
  precise vec4 sums[kTokens];
  [[unroll]] for (uint t = 0; t < kTokens; ++t) {
    first_of_x[t] = FirstOfX(first_token + t);
    sums[t] = vec4(0);
  }
  if (part < kParts) {
    for (uint tile = part; tile < push.pages_per_strip; tile += kParts) {
      Words page = push.table.pages[push.first_page + strip * push.pages_per_strip + tile];
      for (uint unit = 0; unit < tile_units; ++unit) {
        const uint column = tile * kTileColumns + unit * kUnitWeights;
        if (column >= push.columns) break;
        vec4 weights[kUnitVectors];
        DecodeUnit(page, row, unit, weights);
        [[unroll]] for (uint t = 0; t < kTokens; ++t) {
          [[unroll]] for (uint i = 0; i < kUnitVectors; ++i) {
            sums[t] = fma(weights[i], LoadX(first_of_x[t], column + i * 4), sums[t]);
          }
        }
      }
    }
    [[unroll]] for (uint t = 0; t < kTokens; ++t) {
      precise const float sum = (sums[t].x + sums[t].y) + (sums[t].z + sums[t].w);
      part_sums[(part * kTokens + t) * kTileRows + row] = sum;
    }
  }
  barrier();

  const uint matrix_row = strip * kTileRows + row;
  if (part != 0 || matrix_row >= push.rows) return;
  for (uint t = 0; t < kTokens && first_token + t < push.token_count; ++t) {
    precise float sum = 0.0;
    for (uint p = 0; p < kParts; ++p) sum += part_sums[(p * kTokens + t) * kTileRows + row];
    push.y.at[(first_token + t) * push.y_stride + matrix_row] = sum;
  }
}
