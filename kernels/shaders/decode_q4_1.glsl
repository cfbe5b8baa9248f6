// Q4_1: [d f16][m f16][qs:16], w = d * q + m.
#define BLOCK_WEIGHTS 32
#define BLOCK_BYTES 20
#define SHORT_OFFSET 0
#define SHORT_BYTES 0
#include "kernels/shaders/block.glsl"

void Unpack(Block block, uint unit, out uint q[8], out vec2 scales, out vec2 mins) {
  const vec2 factors = HalvesToFloats(Word(block, 0));
  [[unroll]] for (uint i = 0; i < 4; ++i) {
    const uint word = Word(block, i + 1);
    q[i] = word & kNibbles;
    q[i + 4] = word >> 4 & kNibbles;
  }
  scales = factors.xx;
  mins = -factors.yy;
}
