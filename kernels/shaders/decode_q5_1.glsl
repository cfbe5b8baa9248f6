// Q5_1: [d f16][m f16][qh:4][qs:16], w = d * q + m; bit j of qh is the fifth bit of weight j.
#define BLOCK_WEIGHTS 32
#define BLOCK_BYTES 24
#define SHORT_OFFSET 0
#define SHORT_BYTES 0
#include "kernels/shaders/block.glsl"
#include "kernels/shaders/fifth_bits.glsl"

void Unpack(Block block, uint unit, out uint q[8], out vec2 scales, out vec2 mins) {
  const vec2 factors = HalvesToFloats(Word(block, 0));
  const uint high = Word(block, 1);
  [[unroll]] for (uint i = 0; i < 4; ++i) {
    const uint word = Word(block, i + 2);
    q[i] = word & kNibbles | FifthBits(high >> i * 4);
    q[i + 4] = word >> 4 & kNibbles | FifthBits(high >> (i * 4 + 16));
  }
  scales = factors.xx;
  mins = -factors.yy;
}
