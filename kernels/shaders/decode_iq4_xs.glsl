// IQ4_XS: [d f16][scales_h u16][scales_l:4][qs:128], w = d * (sc - 32) * table[q] for each 32
// weights; byte j of a unit's 16 holds its weights j and j + 16.
#define BLOCK_WEIGHTS 256
#define BLOCK_BYTES 136
#define SHORT_OFFSET 0
#define SHORT_BYTES 0
#include "kernels/shaders/block.glsl"
#include "kernels/shaders/iq4_table.glsl"

void Unpack(Block block, uint unit, out uint q[8], out vec2 scales, out vec2 mins) {
  const uint head = Word(block, 0);
  const uint low = Word(block, 1) >> unit * 4 & 15u;
  const uint high = head >> (16 + unit * 2) & 3u;
  [[unroll]] for (uint i = 0; i < 4; ++i) {
    const uint word = Word(block, 2 + unit * 4 + i);
    q[i] = Iq4Values(word & kNibbles);
    q[i + 4] = Iq4Values(word >> 4 & kNibbles);
  }
  scales = vec2(HalfToFloat(head & 0xffffu) * (float(low | high << 4) - 32.0));
  mins = vec2(0);
}
