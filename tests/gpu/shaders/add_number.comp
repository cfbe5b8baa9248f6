#version 460
// out[i] = in[i] * kFactor + number, for the tests of gpu/.
#extension GL_EXT_buffer_reference : require

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint kFactor = 1;

layout(buffer_reference, std430, buffer_reference_align = 4) buffer Words { uint at[]; };

layout(push_constant) uniform Push {
  Words source;
  Words target;
  uint count;
  uint number;
} push;

void main() {
  const uint i = gl_GlobalInvocationID.x;
  if (i >= push.count) return;
  push.target.at[i] = push.source.at[i] * kFactor + push.number;
}
