// One row per workgroup: hidden += branch + bias, then normed = hidden / rms(hidden) * weight.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernels/shaders/memory.glsl"

layout(local_size_x_id = 0) in;

layout(push_constant) uniform Push {
  Floats hidden;
  Floats branch;  // read when adds_branch
  Floats bias;    // read when adds_bias
  Floats weight;
  Floats normed;  // written when norms; row 0 is that of first_row
  uint first_row;
  uint width;
  uint stride;  // of all rows
  float epsilon;
  uint adds_branch;
  uint adds_bias;
  uint norms;
} push;

#include "kernels/shaders/reduce.glsl"

void main() {
  const uint row = gl_WorkGroupID.x;
  const uint first = (push.first_row + row) * push.stride;
  precise float squares = 0;
  for (uint i = gl_LocalInvocationIndex; i < push.width; i += gl_WorkGroupSize.x) {
    precise float value = push.hidden.at[first + i];
    if (push.adds_branch != 0) {
      precise float added = push.branch.at[first + i];
      if (push.adds_bias != 0) added += push.bias.at[i];
      value += added;
      push.hidden.at[first + i] = value;
    }
    squares = fma(value, value, squares);
  }
  if (push.norms == 0) return;
  const float scale =
      1.0 / sqrt(SumOfGroup(squares) / float(push.width) + push.epsilon);
  // Each invocation reads back what it wrote itself.
  for (uint i = gl_LocalInvocationIndex; i < push.width; i += gl_WorkGroupSize.x) {
    push.normed.at[row * push.stride + i] = push.hidden.at[first + i] * scale * push.weight.at[i];
  }
}
