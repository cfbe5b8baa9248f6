// Q5_0: [d f16][qh:4][qs:16], w = d * (q - 16); bit j of qh is the fifth bit of weight j.
#define BLOCK_WEIGHTS 32
#define BLOCK_BYTES 22
#define SHORT_OFFSET 0
#define SHORT_BYTES 2
#include "kernels/shaders/block.glsl"
#include "kernels/shaders/fifth_bits.glsl"

void Unpack(Block block, uint unit, out uint q[8], out vec2 scales, out vec2 mins) {
  const uint high = Word(block, 0);
  [[unroll]] for (uint i = 0; i < 4; ++i) {
    const uint word = Word(block, i + 1);
    q[i] = word & kNibbles | FifthBits(high >> i * 4);
    q[i + 4] = word >> 4 & kNibbles | FifthBits(high >> (i * 4 + 16));
  }
  scales = vec2(ShortHalf(block));
  mins = 16.0 * scales;
}
