// Memory as the shaders see it: 64-bit device addresses that come in push constants.
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_control_flow_attributes : require

layout(buffer_reference, std430, buffer_reference_align = 4) buffer Words { uint at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) buffer Floats { float at[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Vectors { vec4 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer Places { uvec2 at[]; };
// Core page index -> where the page lies. One lookup serves a whole tile.
layout(buffer_reference, std430, buffer_reference_align = 8) buffer PageTable {
  Words pages[];
};
