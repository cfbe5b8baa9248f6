// Q5_K: [d f16][dmin f16][scales:12][qh:32][qs:128], w = d * sc * q - dmin * m for each 32 weights;
// bit `unit` of byte j of qh is the fifth bit of the unit's weight j.
#define BLOCK_WEIGHTS 256
#define BLOCK_BYTES 176
#define SHORT_OFFSET 0
#define SHORT_BYTES 0
#include "kernels/shaders/block.glsl"
#include "kernels/shaders/six_bit_scales.glsl"

void Decode(Block block, uint unit, out vec4 weights[8]) {
  const vec2 factors = HalvesToFloats(Word(block, 0)) * vec2(SixBitScaleMin(block, unit));
  const uint shift = unit % 2 * 4;
  [[unroll]] for (uint i = 0; i < 8; ++i) {
    const uvec4 low = Nibbles(Word(block, 12 + unit / 2 * 8 + i) >> shift);
    const uvec4 high = Bytes(Word(block, 4 + i) >> unit & 0x01010101u) << 4;
    weights[i] = fma(vec4(low | high), vec4(factors.x), vec4(-factors.y));
  }
}
