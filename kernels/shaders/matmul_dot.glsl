// y[token][row] as matmul.glsl has it, by integer dot products: x comes packed (packed.glsl), and
// weights stay the small integers that they are. Sums within a unit of 32 are exact; units are
// added in the order of columns, as there.
#include "kernels/shaders/integer_dot.glsl"
#include "kernels/shaders/packed.glsl"

layout(local_size_x_id = 2) in;
layout(constant_id = 3) const uint kParts = 1;
layout(constant_id = 4) const uint kTokens = 1;

layout(push_constant) uniform Push {
  PageTable table;
  Packed x;        // [row][x_stride]
  Floats y;        // [token][y_stride]
  Words x_rows;    // which row of x each token has; read when has_x_rows
  uint first_page;  // of the matrix, in the core
  uint pages_per_strip;
  uint columns;
  uint rows;
  uint first_strip;
  uint token_count;
  uint x_stride;  // in vectors of 16 bytes
  uint y_stride;
  uint has_x_rows;
} push;

shared float part_sums[kParts * kTokens * kTileRows];

uint FirstOfX(uint token) {
  const uint inside = min(token, push.token_count - 1);
  return (push.has_x_rows != 0 ? push.x_rows.at[inside] : inside) * push.x_stride;
}

// A unit of a row by a unit of x: q0 and q1 are its first and second 16 weights.
float UnitDot(uvec4 q0, uvec4 q1, vec2 scales, vec2 mins, uint at) {
  const uvec4 head = push.x.at[at];
  const int first = 256 * SignedDot4(q0, push.x.at[at + 1]) + SignedDot4(q0, push.x.at[at + 3]);
  const int second = 256 * SignedDot4(q1, push.x.at[at + 2]) + SignedDot4(q1, push.x.at[at + 4]);
  precise float sum = scales.x * float(first);
  sum = fma(scales.y, float(second), sum);
  sum = fma(-mins.x, float(int(head.y)), sum);
  sum = fma(-mins.y, float(int(head.z)), sum);
  return sum * uintBitsToFloat(head.x);
}

void main() {
  const uint row = gl_LocalInvocationIndex % kTileRows;
  const uint part = gl_LocalInvocationIndex / kTileRows;
  const uint strip = push.first_strip + gl_WorkGroupID.x;
  const uint first_token = gl_WorkGroupID.y * kTokens;

  uint first_of_x[kTokens];
  precise float sums[kTokens];
  [[unroll]] for (uint t = 0; t < kTokens; ++t) {
    first_of_x[t] = FirstOfX(first_token + t);
    sums[t] = 0;
  }
  if (part < kParts) {
    for (uint tile = part; tile < push.pages_per_strip; tile += kParts) {
      Words page = push.table.pages[push.first_page + strip * push.pages_per_strip + tile];
      for (uint unit = 0; unit < kTileColumns / 32; ++unit) {
        const uint column = tile * kTileColumns + unit * 32;
        if (column >= push.columns) break;
        uint q[8];
        vec2 scales;
        vec2 mins;
        Unpack(BlockOfTile(page, row, unit / kUnitsPerBlock), unit % kUnitsPerBlock, q, scales,
               mins);
        const uvec4 first = uvec4(q[0], q[1], q[2], q[3]);
        const uvec4 second = uvec4(q[4], q[5], q[6], q[7]);
        [[unroll]] for (uint t = 0; t < kTokens; ++t) {
          sums[t] += UnitDot(first, second, scales, mins,
                             first_of_x[t] + column / 32 * kPackedVectors);
        }
      }
    }
    [[unroll]] for (uint t = 0; t < kTokens; ++t) {
      part_sums[(part * kTokens + t) * kTileRows + row] = sums[t];
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
