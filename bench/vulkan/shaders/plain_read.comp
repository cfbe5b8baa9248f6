#version 460
// Reads all of a region and keeps (almost) nothing: what a device's memory can deliver.
#extension GL_EXT_buffer_reference : require

layout(local_size_x = 256) in;

layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Vectors {
  uvec4 at[];
};
layout(buffer_reference, std430, buffer_reference_align = 4) writeonly buffer Words { uint at[]; };

layout(push_constant) uniform Push {
  Vectors region;
  Words sums;
  uint vectors_per_group;  // a multiple of 1024
  uint vector_count;
} push;

void main() {
  const uint first = gl_WorkGroupID.x * push.vectors_per_group;
  const uint end = min(first + push.vectors_per_group, push.vector_count);
  uvec4 sum = uvec4(0);
  for (uint i = first + gl_LocalInvocationIndex; i + 768 < end; i += 1024) {
    sum += push.region.at[i] + push.region.at[i + 256] + push.region.at[i + 512] +
           push.region.at[i + 768];
  }
  // Never true for the words that the benchmark writes, which the compiler cannot know.
  if (sum.x == 0x9e3779b9u && sum.y == 0x85ebca6bu) push.sums.at[gl_WorkGroupID.x] = sum.z + sum.w;
}
