// Rows of floats as integer dot products take them (packed.glsl): one unit of 32 per invocation.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernels/shaders/memory.glsl"
#include "kernels/shaders/packed.glsl"

layout(local_size_x_id = 0) in;

layout(push_constant) uniform Push {
  Floats values;  // [row][stride]
  PackedOut rows;  // [row][units]
  uint columns;
  uint stride;
  uint units;
} push;

float Value(uint first, uint column) {
  return column < push.columns ? push.values.at[first + column] : 0.0;
}

void main() {
  const uint unit = gl_GlobalInvocationID.x;
  if (unit >= push.units) return;
  const uint row = gl_WorkGroupID.y;
  const uint first = row * push.stride;
  float largest = 0;
  for (uint i = 0; i < 32; ++i) largest = max(largest, abs(Value(first, unit * 32 + i)));
  const float inverse = largest > 0 ? kLargestPacked / largest : 0.0;
  ivec2 sums = ivec2(0);
  uint high[8];
  uint low[8];
  for (uint word = 0; word < 8; ++word) {
    high[word] = 0;
    low[word] = 0;
    for (uint i = 0; i < 4; ++i) {
      const int x = int(roundEven(Value(first, unit * 32 + word * 4 + i) * inverse));
      sums[word / 4] += x;
      const int top = (x + 128) >> 8;
      high[word] |= (uint(top) & 0xffu) << i * 8;
      low[word] |= uint(x - top * 256 & 0xff) << i * 8;
    }
  }
  const uint at = (row * push.units + unit) * kPackedVectors;
  push.rows.at[at] = uvec4(floatBitsToUint(largest / kLargestPacked), uvec2(sums), 0);
  push.rows.at[at + 1] = uvec4(high[0], high[1], high[2], high[3]);
  push.rows.at[at + 2] = uvec4(high[4], high[5], high[6], high[7]);
  push.rows.at[at + 3] = uvec4(low[0], low[1], low[2], low[3]);
  push.rows.at[at + 4] = uvec4(low[4], low[5], low[6], low[7]);
}
