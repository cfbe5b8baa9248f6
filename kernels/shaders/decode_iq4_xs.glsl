// IQ4_XS: [d f16][scales_h u16][scales_l:4][qs:128], w = d * (sc - 32) * table[q] for each 32
// weights; byte j of a unit's 16 holds its weights j and j + 16.
#define BLOCK_WEIGHTS 256
#define BLOCK_BYTES 136
#define SHORT_OFFSET 0
#define SHORT_BYTES 0
#include "kernels/shaders/block.glsl"
#include "kernels/shaders/iq4_table.glsl"

void Decode(Block block, uint unit, out vec4 weights[8]) {
  const uint head = Word(block, 0);
  const uint low = Word(block, 1) >> unit * 4 & 15u;
  const uint high = head >> (16 + unit * 2) & 3u;
  const float scale = HalfToFloat(head & 0xffffu) * (float(low | high << 4) - 32.0);
  [[unroll]] for (uint i = 0; i < 4; ++i) {
    const uint word = Word(block, 2 + unit * 4 + i);
    weights[i] = scale * Iq4Values(Nibbles(word));
    weights[i + 4] = scale * Iq4Values(Nibbles(word >> 4));
  }
}
