// IQ4_NL: [d f16][qs:16], w = d * table[q].
#define BLOCK_WEIGHTS 32
#define BLOCK_BYTES 18
#define SHORT_OFFSET 0
#define SHORT_BYTES 2
#include "kernels/shaders/block.glsl"
#include "kernels/shaders/iq4_table.glsl"

void Unpack(Block block, uint unit, out uint q[8], out vec2 scales, out vec2 mins) {
  [[unroll]] for (uint i = 0; i < 4; ++i) {
    const uint word = Word(block, i);
    q[i] = Iq4Values(word & kNibbles);
    q[i + 4] = Iq4Values(word >> 4 & kNibbles);
  }
  scales = vec2(ShortHalf(block));
  mins = vec2(0);
}
