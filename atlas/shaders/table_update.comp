#version 460
// Changes of a page table: where each page of some runs lies from now on. One workgroup to a change.
#extension GL_EXT_buffer_reference : require

layout(local_size_x = 64) in;

struct Change {
  uint first_page;
  uint page_count;
  uvec2 address;  // of the first page; the guard page for all of them when it is that
};

layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer Changes {
  Change at[];
};
layout(buffer_reference, std430, buffer_reference_align = 8) writeonly buffer Table {
  uvec2 at[];
};

layout(push_constant) uniform Push {
  Table table;
  Changes changes;
  uvec2 guard;
} push;

void main() {
  const Change change = push.changes.at[gl_WorkGroupID.x];
  const uint step = change.address == push.guard ? 0u : 4096u;
  for (uint i = gl_LocalInvocationID.x; i < change.page_count; i += gl_WorkGroupSize.x) {
    uint carry;
    const uint low = uaddCarry(change.address.x, i * step, carry);
    push.table.at[change.first_page + i] = uvec2(low, change.address.y + carry);
  }
}
