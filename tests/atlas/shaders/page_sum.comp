#version 460
// For each named page of a core, a number that depends on all of its words and on their places,
// read through the page table.
#extension GL_EXT_buffer_reference : require

layout(local_size_x = 64) in;

layout(buffer_reference, std430, buffer_reference_align = 4) buffer Words { uint at[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer Table {
  Words pages[];
};

layout(push_constant) uniform Push {
  Table table;
  Words page_numbers;
  Words sums;  // one for each of page_numbers
  uint count;
  uint unused;
} push;

void main() {
  const uint i = gl_GlobalInvocationID.x;
  if (i >= push.count) return;
  Words page = push.table.pages[push.page_numbers.at[i]];
  uint sum = 0;
  for (uint word = 0; word < 1024; ++word) sum = sum * 31u + page.at[word];
  push.sums.at[i] = sum;
}
