// Q5_K: [d f16][dmin f16][scales:12][qh:32][qs:128], w = d * sc * q - dmin * m for each 32 weights;
// bit `unit` of byte j of qh is the fifth bit of the unit's weight j.
#define BLOCK_WEIGHTS 256
#define BLOCK_BYTES 176
#define SHORT_OFFSET 0
#define SHORT_BYTES 0
#include "kernels/shaders/block.glsl"
#include "kernels/shaders/six_bit_scales.glsl"

void Unpack(Block block, uint unit, out uint q[8], out vec2 scales, out vec2 mins) {
  const vec2 factors = HalvesToFloats(Word(block, 0)) * vec2(SixBitScaleMin(block, unit));
  const uint shift = unit % 2 * 4;
  [[unroll]] for (uint i = 0; i < 8; ++i) {
    const uint low = Word(block, 12 + unit / 2 * 8 + i) >> shift & kNibbles;
    q[i] = low | (Word(block, 4 + i) >> unit & 0x01010101u) << 4;
  }
  scales = factors.xx;
  mins = factors.yy;
}
