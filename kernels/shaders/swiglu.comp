// gate = silu(gate + bias) * (up + bias), in place.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernels/shaders/memory.glsl"

layout(local_size_x_id = 0) in;

layout(push_constant) uniform Push {
  Floats gate;
  Floats up;
  Floats gate_bias;  // read when has_gate_bias
  Floats up_bias;    // read when has_up_bias
  uint width;
  uint stride;
  uint has_gate_bias;
  uint has_up_bias;
} push;

void main() {
  const uint column = gl_GlobalInvocationID.x;
  if (column >= push.width) return;
  const uint index = gl_WorkGroupID.y * push.stride + column;
  float gate = push.gate.at[index];
  float up = push.up.at[index];
  if (push.has_gate_bias != 0) gate += push.gate_bias.at[column];
  if (push.has_up_bias != 0) up += push.up_bias.at[column];
  push.gate.at[index] = gate / (1.0 + exp(-gate)) * up;
}
