// Q4_1: [d f16][m f16][qs:16], w = d * q + m.
#define BLOCK_WEIGHTS 32
#define BLOCK_BYTES 20
#define SHORT_OFFSET 0
#define SHORT_BYTES 0
#include "kernels/shaders/block.glsl"

void Decode(Block block, uint unit, out vec4 weights[8]) {
  const vec2 factors = HalvesToFloats(Word(block, 0));
  [[unroll]] for (uint i = 0; i < 4; ++i) {
    const uint word = Word(block, i + 1);
    weights[i] = fma(vec4(Nibbles(word)), vec4(factors.x), vec4(factors.y));
    weights[i + 4] = fma(vec4(Nibbles(word >> 4)), vec4(factors.x), vec4(factors.y));
  }
}
