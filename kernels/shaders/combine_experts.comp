// branch = the weighted sum of a token's experts, in rising order of their number.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernels/shaders/memory.glsl"

layout(local_size_x_id = 0) in;

layout(push_constant) uniform Push {
  Floats outputs;  // [pair][stride]
  Words pairs;     // [token][used_count]: which pair a choice became
  Floats weights;  // [token][used_count]
  Floats branch;   // [token][stride]
  uint width;
  uint stride;
  uint used_count;
} push;

void main() {
  const uint column = gl_GlobalInvocationID.x;
  if (column >= push.width) return;
  const uint token = gl_WorkGroupID.y;
  precise float sum = 0;
  for (uint slot = 0; slot < push.used_count; ++slot) {
    const uint choice = token * push.used_count + slot;
    sum = fma(push.outputs.at[push.pairs.at[choice] * push.stride + column],
              push.weights.at[choice], sum);
  }
  push.branch.at[token * push.stride + column] = sum;
}
