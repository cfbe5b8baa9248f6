// Q5_1: [d f16][m f16][qh:4][qs:16], w = d * q + m; bit j of qh is the fifth bit of weight j.
#define BLOCK_WEIGHTS 32
#define BLOCK_BYTES 24
#define SHORT_OFFSET 0
#define SHORT_BYTES 0
#include "kernels/shaders/block.glsl"
#include "kernels/shaders/fifth_bits.glsl"

void Decode(Block block, uint unit, out vec4 weights[8]) {
  const vec2 factors = HalvesToFloats(Word(block, 0));
  const uint high = Word(block, 1);
  [[unroll]] for (uint i = 0; i < 4; ++i) {
    const uint word = Word(block, i + 2);
    const uvec4 low_half = Nibbles(word) | FifthBits(high, i * 4);
    const uvec4 high_half = Nibbles(word >> 4) | FifthBits(high, i * 4 + 16);
    weights[i] = fma(vec4(low_half), vec4(factors.x), vec4(factors.y));
    weights[i + 4] = fma(vec4(high_half), vec4(factors.x), vec4(factors.y));
  }
}
